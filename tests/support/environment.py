"""The environment as the tests found it.

Importing Jittor, which some tests do in this process while pytest still collects, leaves variables of its own behind.
``tests/conftest.py`` imports this module before any of them.
"""

from __future__ import annotations

import os

FOUND = dict(os.environ)


def without_settings(**variables: str) -> dict[str, str]:
    """For a command of its own: what was found, with only those settings of the service that are given."""
    return {name: value for name, value in FOUND.items() if not name.startswith("HPOSVC_")} | variables
