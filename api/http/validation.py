"""A document as a job specification; what pydantic finds wrong in it is said by field, with a remedy."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from api.http.problem_details import MOST_ERRORS, FieldError, field_error, invalid_body, invalid_spec
from hposvc.schema.spec import JobSpec

Model = TypeVar("Model", bound=BaseModel)

# What pydantic calls it → what is wrong, and the remedy, in the words of JSON and YAML.
# {…} is filled from the error's context.
WORDS = {
    "missing": ("is required", "Add the field."),
    "int_type": ("must be a whole number", "Send a whole number, without quotes or fraction."),
    "int_parsing": ("must be a whole number", "Send a whole number."),
    "float_type": ("must be a number", "Send a number."),
    "float_parsing": ("must be a number", "Send a number."),
    "string_type": ("must be text", "Send text."),
    "string_too_short": ("must not be empty", "Send at least {min_length} character(s), or leave the field out."),
    "string_too_long": ("must have at most {max_length} characters", "Shorten it."),
    "list_type": ("must be a list", "Send a list."),
    "tuple_type": ("must be a list", "Send a list."),
    "too_long": ("must have at most {max_length} items", "Remove some."),
    "too_short": ("must have at least {min_length} item(s)", "Add some."),
    "model_type": ("must be an object with named fields", "Send an object with named fields."),
    "model_attributes_type": ("must be an object with named fields", "Send an object with named fields."),
    "dict_type": ("must be an object of names and values", "Send an object of names and values."),
    "union_tag_not_found": ("is required", "Add the field."),
    "union_tag_invalid": ("must be one of {expected_tags}", "Send one of {expected_tags}."),
}
LONGEST_MISSPELT = 50  # characters of a field's name; looking for one alike takes their square
ABOUT_TAG = ("union_tag_not_found", "union_tag_invalid")


def parse_spec(document: Any) -> JobSpec:
    """The specification in ``document``. Raises HTTPProblem ``invalid-spec`` with every field that is wrong."""
    try:
        return JobSpec.model_validate(document)
    except ValidationError as error:
        raise invalid_spec(explain(error.errors(include_url=False), document)) from None


def parse_body(model: type[Model], document: Any) -> Model:
    """The body ``document`` of a call that takes no job. Raises HTTPProblem ``invalid-body``."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise invalid_body(explain(error.errors(include_url=False), document, model)) from None


def explain(errors: Sequence[ErrorDetails], document: Any, model: type[BaseModel] = JobSpec) -> list[FieldError]:
    """Field errors for what pydantic found, at most one more than a problem lists. Of the branches of a union, the one
    that was most likely meant counts.
    """
    found = [(*_locate(error, document), error) for error in errors]
    meant = _likeliest_branches((branch, error["type"]) for _, branch, error in found)
    by_field: dict[Path, list[ErrorDetails]] = {}
    for field, branch, error in found:
        if not branch or branch in meant:
            by_field.setdefault(field, []).append(error)
    first = islice(by_field.items(), MOST_ERRORS + 1)
    return [_field_error(".".join(field), group, model) for field, group in first]


Path = tuple[str, ...]
Branch = tuple[Path, str]  # where a union stands, and which of its models was tried


def _locate(error: ErrorDetails, document: Any) -> tuple[Path, Branch | None]:
    """The path to the field that an error is about, without the names of union branches that pydantic adds."""
    path: list[str] = []
    branch: Branch | None = None
    value = document
    location = error["loc"]
    for position, part in enumerate(location):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and isinstance(part, int):
            value = value[part] if part < len(value) else None
        elif error["type"] in ("missing", "extra_forbidden") and position == len(location) - 1:
            pass
        else:
            if isinstance(value, dict):
                branch = branch or (tuple(path), str(part))
            continue
        path.append(str(part))
    return tuple(path), branch


def _likeliest_branches(tried: Iterable[tuple[Branch | None, str]]) -> set[Branch]:
    """Per union the branch that fits best: the fewest unknown and missing fields, then the fewest errors."""
    scores: dict[Branch, tuple[int, int]] = {}
    for branch, kind in tried:
        if branch:
            misfits, count = scores.get(branch, (0, 0))
            scores[branch] = (misfits + (kind in ("missing", "extra_forbidden")), count + 1)
    best: dict[Path, Branch] = {}
    for branch in scores:
        current = best.setdefault(branch[0], branch)
        best[branch[0]] = min(current, branch, key=scores.__getitem__)
    return set(best.values())


def _field_error(field: str, errors: list[ErrorDetails], model: type[BaseModel]) -> FieldError:
    """One error from all that pydantic says about one field: each branch of a union may say something."""
    first = errors[0]
    kind, value = first["type"], first["input"]
    if kind in ABOUT_TAG:
        field = f"{field}.{first['ctx']['discriminator'].strip(chr(39))}"
        value = value.get("type") if isinstance(value, dict) else None
    if kind == "value_error":
        head, _, rest = str(first["ctx"]["error"]).partition(": ")
        if head.split(".")[0] in JobSpec.model_fields:  # a rule between fields names the one to change
            within = field if field == "job" else ""  # of an experiment
            return field_error(f"{within}.{head}".lstrip("."), rest, "Change the value as described.")
        return field_error(field, str(first["ctx"]["error"]), "Change the value as described.", value)
    if kind == "extra_forbidden":
        return field_error(field, "is not a known field", _suggestion(field, model))
    texts = dict.fromkeys(_words(error)[0] for error in errors)
    return field_error(field, " or ".join(texts).replace(" or must be ", " or "), _words(first)[1], value)


def _words(error: ErrorDetails) -> tuple[str, str]:
    words = WORDS.get(error["type"])
    if words:
        context = error.get("ctx", {})
        return words[0].format_map(context), words[1].format_map(context)
    text = error["msg"].replace("Input should be ", "must be ", 1)
    if text == error["msg"]:
        return text, "Change the value."
    return text, f"Send a value that is {text.removeprefix('must be ')}."


def _suggestion(field: str, model: type[BaseModel]) -> str:
    *parents, name = field.split(".")
    known = _fields_at(model, parents)
    near = difflib.get_close_matches(name, known, n=1) if len(name) <= LONGEST_MISSPELT else []
    hint = f"Did you mean {near[0]!r}? " if near else "Remove it. "
    if not known:
        return "Remove it."
    return f"{hint}Known here: {', '.join(sorted(known))}."


def _fields_at(annotation: Any, path: list[str]) -> set[str]:
    """The field names that a spec may have at ``path``, over all branches of the unions on the way."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not path:
            return set(annotation.model_fields)
        field = annotation.model_fields.get(path[0])
        return _fields_at(field.annotation, path[1:]) if field else set()
    if get_origin(annotation) in (Union, types.UnionType) or hasattr(annotation, "__metadata__"):
        return set().union(*(_fields_at(branch, path) for branch in get_args(annotation)))
    return set()
