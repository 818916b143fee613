"""What a finished run leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """``result`` is ready for JSON, ``artifacts`` are files by name."""

    result: dict[str, Any]
    artifacts: dict[str, bytes]
