"""Say what an installed problem takes: ``python -m hposvc.problems.describe NAME`` writes it as JSON.

Importing a package runs its code. A worker therefore has this done in a process of its own, which may fail.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from typing import Any

from hposvc.problems.loading import load


def described(name: str) -> dict[str, Any]:
    """``summary``, ``parameters`` (a JSON Schema) and ``defaults`` of the problem ``name``."""
    plugin = load(name)
    text = inspect.getdoc(type(plugin)) or ""
    return {
        "summary": " ".join(text.partition("\n\n")[0].split())[:1000],
        "parameters": plugin.parameters.model_json_schema(),
        "defaults": dict(plugin.defaults),
    }


def main() -> None:
    """Write the description to standard output, and whatever the package prints to standard error."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    json.dump(described(sys.argv[1]), answer)
    answer.flush()
    os._exit(0)  # whatever the package has left running


if __name__ == "__main__":
    main()
