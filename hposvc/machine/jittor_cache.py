"""Where Jittor keeps what it compiles: ``.cache/jittor`` in ``JITTOR_HOME``, which is the home of the user unless set.

Jittor writes down a ``JITTOR_HOME`` that it once saw, in the user's home, and uses it from then on.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path


def jittor_cache() -> Path:
    """The absolute path of the folder, which may not exist yet. Reads the environment; imports nothing of Jittor."""
    noted: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        noted = json.loads((Path.home() / ".cache" / "jittor" / "config.json").read_text())
    home = os.environ.get("JITTOR_HOME", noted.get("JITTOR_HOME", str(Path.home())))
    return Path(home).absolute() / ".cache" / "jittor"
