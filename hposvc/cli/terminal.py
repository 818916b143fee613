"""What people or files said, shown on a terminal: as text, never as commands to the terminal or as markup."""

from __future__ import annotations

import re

# Those of ASCII but for line ends and tabs, those of Latin-1, and those that turn the direction of text around.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """``text`` with a picture in the place of each control character."""
    return CONTROL.sub(lambda found: chr(0x2400 + ord(found[0])) if found[0] < " " else "\ufffd", text)


def escaped(text: str) -> str:
    """JSON with its control characters escaped, those too that JSON allows in strings."""
    return CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
