"""The ``hposvc`` command."""

from hposvc.cli.commands import app, main

__all__ = ["app", "main"]
