"""Writes docs/reference/ from the code: ``make docs``. A test fails when the two differ."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import typer.main

from api.http.problem_types import TYPES
from api.openapi import document
from hposvc.cli import app
from hposvc.cli.field_help import filled
from hposvc.client import (
    Client,
    ExperimentCalls,
    NoteCalls,
    ProblemError,
    ReviewCalls,
    ServerUnreachableError,
    StreamedEvent,
)
from hposvc.faults import Exit
from hposvc.schema.spec import PER, JobSpec
from hposvc.settings import Settings

FOLDER = Path(__file__).parent / "reference"
Schema = dict[str, Any]


def job() -> str:
    """Every field of a job."""
    schema = JobSpec.model_json_schema()
    definitions: dict[str, Schema] = schema.pop("$defs")
    parts = [
        "# The job: every field\n",
        "What a job may say, in YAML or JSON. Only `kind` and `dataset` are required, or for an own problem `kind` and",
        "`problem`.",
        "`hposvc submit job.yaml --check` prints a job with every default filled in.\n",
        *_section("", schema, definitions),
        "\n## What `per` may be\n",
        *(
            f"- `{kind}`: {', '.join(f'`{per}`' for per in allowed)} (default `{allowed[0]}`)"
            for kind, allowed in PER.items()
            if allowed
        ),
        "\nA `cnn` has no weights per feature, so there the default of `regularization_tuning` is `layer`.",
    ]
    return "\n".join(parts) + "\n"


def _section(path: str, schema: Schema, definitions: dict[str, Schema]) -> list[str]:
    """A table of the fields at ``path``, then the sections of those that have fields of their own."""
    heading = f"\n## `{path}`\n\n{_text(schema)}\n" if path else ""
    lines, below = [heading, "| field | takes | default | meaning |", "|---|---|---|---|"], []
    for name, field in schema["properties"].items():
        nested = [variant["$ref"].rpartition("/")[2] for variant in _variants(field) if "$ref" in variant]
        takes = " or ".join(dict.fromkeys(_takes(variant) for variant in _variants(field)))
        default = "required" if name in schema.get("required", []) else f"`{_default(field)}`"
        lines.append(f"| `{path + '.' if path else ''}{name}` | {takes} | {default} | {_cell(_text(field))} |")
        for definition in nested:
            inner = definitions[definition]
            title = f"{path + '.' if path else ''}{name}"
            below += [
                part.replace(f"## `{title}`", f"## `{title}`{_which(inner, definition, nested)}", 1)
                for part in _section(title, inner, definitions)
            ]
    return lines + below


def _which(schema: Schema, name: str, alternatives: list[str]) -> str:
    if len(alternatives) == 1:
        return ""
    type_ = schema["properties"].get("type", {}).get("const")
    return f" (`type: {type_}`)" if type_ else f" ({name})"


def _variants(field: Schema) -> list[Schema]:
    variants = field.get("anyOf") or field.get("oneOf")
    return [field] if variants is None else [inner for variant in variants for inner in _variants(variant)]


def _takes(field: Schema) -> str:
    if "$ref" in field:
        return "see below"
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    kind = field.get("type", "anything")
    if kind == "array":
        if "prefixItems" in field:
            return f"list of {len(field['prefixItems'])} numbers"
        return f"list of {_takes(field['items']).replace('text', 'texts').replace('integer', 'integers')}"
    bounds = [
        f"{sign} {field[key]:{',' if abs(field[key]) < 1e12 else 'g'}}"
        for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
        if key in field
    ]
    if kind == "object":
        values = field["additionalProperties"]
        kind = f"map from text to {'anything' if values is True else _takes(values)}"
    name = {"string": "text", "number": "number", "integer": "integer", "null": "null"}.get(kind, kind)
    return " ".join([name, ", ".join(bounds)]).strip()


def _default(field: Schema) -> str:
    value = field.get("default")
    if isinstance(value, dict):
        return "…" if value else "{}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _text(schema: Schema) -> str:
    return " ".join(schema.get("description", "").replace("``", "`").split())


def settings() -> str:
    """Every setting."""
    lines = [
        "# The settings\n",
        _text({"description": Settings.__doc__}),
        "`hposvc config` shows the values in use and where each comes from.\n",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = "" if field.default_factory is not None or field.default in (None, "") else f"`{field.default}`"
        lines.append(f"| `HPOSVC_{name.upper()}` | {default} | {field.description} |")
    lines.append("\n`HPOSVC_DATA_DIR` is by default `$XDG_DATA_HOME/hposvc`, which is mostly `~/.local/share/hposvc`.")
    return "\n".join(lines) + "\n"


def commands() -> str:
    """Every command, and what the exit statuses mean."""
    root = typer.main.get_command(app)
    lines = [
        "# The commands\n",
        "Each knows `--help`. Messages for people go to standard error, results to standard output.\n",
    ]
    lines += ["| exit status | name |", "|---|---|", *(f"| {code.value} | {code.name.lower()} |" for code in Exit)]
    lines.append(f"\n{app.info.epilog}")
    lines += _command(root, "hposvc")
    return "\n".join(lines) + "\n"


def _command(command: Any, path: str) -> list[str]:
    if hasattr(command, "commands"):
        inner = [line for name, inner in command.commands.items() for line in _command(inner, f"{path} {name}")]
        return inner if path == "hposvc" or not command.invoke_without_command else [*_usage(command, path), *inner]
    return _usage(command, path)


def _usage(command: Any, path: str) -> list[str]:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    usage = " ".join([path, *(_placeholder(argument) for argument in arguments)])
    lines = [f"\n## `{usage}`\n", " ".join((command.help or "").split())]
    if arguments or options:
        lines.append("")
    lines += [f"- `{_placeholder(argument)}`: {filled(argument.help)}" for argument in arguments]
    lines += [f"- `{', '.join([*option.opts, *option.secondary_opts])}`: {filled(option.help)}" for option in options]
    return lines


def _placeholder(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def http() -> str:
    """Every call of the HTTP interface."""
    described = json.loads(document())
    lines = [
        "# The HTTP calls\n",
        "Examples of each are on the dashboard's page API; `/openapi.json` is the document behind both pages.",
        "[How to use them](../http.md), and [what errors mean](problems.md).",
    ]
    sections: dict[str, list[str]] = {}
    for path, calls in described["paths"].items():
        for method, call in calls.items():
            sections.setdefault(call["tags"][0], []).extend(_call(method.upper(), path, call))
    for tag, parts in sections.items():
        lines += [f"\n## {tag.capitalize()}", *parts]
    lines += [
        "\n## What they take and return\n",
        "The fields of [a job's spec](job.md) have a page of their own. Numbers that JSON does not have are the texts",
        '`"NaN"`, `"Infinity"` and `"-Infinity"`. Times are in ISO 8601, in UTC.',
    ]
    of_a_job = {"JobSpec", *JobSpec.model_json_schema()["$defs"]}
    for name, schema in described["components"]["schemas"].items():
        if name not in of_a_job:
            lines += [f"\n### `{name}`\n", _text(schema), *_values(schema), *_fields(schema)]
    return "\n".join(lines) + "\n"


def _values(schema: Schema) -> list[str]:
    return [f"One of {_takes(schema)}."] if "enum" in schema else []


def _fields(schema: Schema) -> list[str]:
    """A table of the fields of what is sent or returned."""
    rows = [
        f"| `{name}` | {_kinds(field)} | {_cell(_text(field))} |"
        for name, field in schema.get("properties", {}).items()
    ]
    return ["\n| field | type | meaning |", "|---|---|---|", *rows] if rows else []


def _kinds(field: Schema) -> str:
    return " or ".join(dict.fromkeys(_kind(variant) for variant in _variants(field)))


def _kind(field: Schema) -> str:
    if "$ref" in field:
        return _link(_name_of(field))
    if field.get("type") == "array" and "items" in field:
        return f"list of {_kinds(field['items'])}"
    if field.get("type") == "object" and not isinstance(field.get("additionalProperties"), dict):
        return "object"
    return "time" if field.get("format") == "date-time" else _takes(field)


def _name_of(field: Schema) -> str:
    return str(field["$ref"]).rpartition("/")[2]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _call(method: str, path: str, call: Schema) -> list[str]:
    lines = [f"\n### `{method} {path}`\n", f"{call['summary'].rstrip('?')}. {_text(call)}\n"]
    lines += [
        f"- `{parameter['name']}` ({', '.join(_facts(parameter))}): {_text(parameter)}"
        for parameter in call.get("parameters", [])
        if parameter["in"] != "path"
    ]
    taken = call.get("requestBody", {}).get("content", {})
    if taken:
        lines.append(f"- body: {', '.join(_content(media_type, content) for media_type, content in taken.items())}")
    for status, answer in call["responses"].items():
        if status.isdecimal():
            types = ", ".join(
                _content(media_type, content) for media_type, content in answer.get("content", {}).items()
            )
            lines.append(f"- returns {status}: {answer['description']}{f' ({types})' if types else ''}")
    return lines


def _facts(parameter: Schema) -> list[str]:
    """Where a parameter stands, what it takes, and its default."""
    default = parameter["schema"].get("default")
    facts = [parameter["in"], _kinds(parameter["schema"]).replace(" or null", "")]
    return facts if default in (None, []) else [*facts, f"default {_default(parameter['schema'])}"]


def _content(media_type: str, content: Schema) -> str:
    named = [_name_of(variant) for variant in _variants(content.get("schema", {})) if "$ref" in variant]
    return f"`{media_type}`" + (f": {', '.join(map(_link, named))}" if named else "")


def _link(name: str) -> str:
    return f"[{name}]({'job.md' if name == 'JobSpec' else f'#{name.lower()}'})"


def problems() -> str:
    """Every kind of error."""
    lines = [
        "# The problems\n",
        "An error is a problem document (RFC 9457, `application/problem+json`): `type`, `title`, `status`, `detail`,",
        "and under `errors` each field with `message` and `remedy`. Its `type` stays the same for ever, and is the",
        "address of a page that explains it.\n",
        "| type | status | what it says | what to do |",
        "|---|---|---|---|",
    ]
    lines += [f"| `{kind.uri}` | {kind.status} | {kind.title} | {kind.help} |" for kind in TYPES.values()]
    return "\n".join(lines) + "\n"


def client() -> str:
    """The Python client."""
    lines = ["# The Python client\n", "```python", "from hposvc.client import Client", "```\n"]
    for class_ in (
        Client,
        ExperimentCalls,
        NoteCalls,
        ReviewCalls,
        ProblemError,
        ServerUnreachableError,
        StreamedEvent,
    ):
        lines += [f"## `{class_.__name__}{_signature(class_)}`\n", _docstring(class_), ""]
        for name, member in vars(class_).items():
            if inspect.isfunction(member) and not name.startswith("_"):
                lines += [f"### `{name}{_signature(member)}`\n", _docstring(member), ""]
    return "\n".join(lines).rstrip() + "\n"


def _signature(member: Any) -> str:
    signature = inspect.signature(member)
    kept = [parameter for name, parameter in signature.parameters.items() if name != "self"]
    return str(signature.replace(parameters=kept)).replace("'", "")


def _docstring(member: Any) -> str:
    return inspect.cleandoc(member.__doc__ or "").replace("``", "`")


def glossary() -> str:
    """The words of docs/glossary.md, for the dashboard."""
    parts: list[dict[str, Any]] = []
    for line in (Path(__file__).parent / "glossary.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            parts.append({"title": line[3:], "terms": []})
        elif line.startswith("| **"):
            term, meaning = (cell.strip() for cell in line.strip("|").split("|", 1))
            names = re.findall(r"\*\*(.+?)\*\*", term)
            ids = [name.replace(" ", "-") for name in names]
            parts[-1]["terms"].append({"ids": ids, "term": term.replace("**", ""), "meaning": meaning})
    return json.dumps([part for part in parts if part["terms"]], indent=1, ensure_ascii=False) + "\n"


PAGES = {
    "job.md": job,
    "settings.md": settings,
    "commands.md": commands,
    "http.md": http,
    "problems.md": problems,
    "client.md": client,
    "../../api/dashboard/glossary.json": glossary,
}


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
