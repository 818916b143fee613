"""The help of options that stand for a field: the field's own description, read when the command is used."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from typer.core import TyperCommand

FIELD = re.compile(r"^\{(\w+)\.(\w+)\.(\w+)\}")


def of_field(path: str, more: str = "") -> str:
    """Help for an option that stands for ``module.Model.field`` of ``hposvc.schema``, and ``more``.

    The description itself is filled in by :func:`filled`: reading it here would import the schema for every command.
    """
    return f"{{{path}}} {more}".rstrip()


def filled(text: str) -> str:
    """The help with the description of the field that :func:`of_field` named, if it named one."""
    named = FIELD.match(text)
    if named is None:
        return text
    from hposvc.schema.described import descriptions

    module, model, field = named.groups()
    return descriptions(getattr(import_module(f"hposvc.schema.{module}"), model))[field] + text[named.end() :]


class Command(TyperCommand):
    """A command some of whose options stand for fields."""

    def get_params(self, ctx: Any) -> Any:
        """The options and arguments, with their help."""
        found = super().get_params(ctx)
        for parameter in found:
            parameter.help = filled(getattr(parameter, "help", None) or "")  # type: ignore[attr-defined]
        return found
