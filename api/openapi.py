"""Writes the OpenAPI document that is committed as docs/openapi.json: ``python -m api.openapi > docs/openapi.json``."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from api.app import create_app
from hposvc.settings import Settings


def document() -> str:
    """The document of this code, as JSON text with sorted keys."""
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Settings(data_dir=Path(folder), host="127.0.0.1"))
        content = app.openapi()
        return json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
