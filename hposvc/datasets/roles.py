"""Which column is the label and which one names the rows: defaults of a data set, not its content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hposvc.datasets.errors import DatasetConflict
from hposvc.schema.datasets import DatasetResource
from hposvc.tables.options import UploadOptions


def assert_agree(found: DatasetResource, options: UploadOptions) -> None:
    """Raise DatasetConflict if ``found`` has another label, column of ids or task than ``options`` name."""
    asked = {"target": options.label, "id_column": options.id_column, "task": options.task}
    differences = [
        f"{'label' if name == 'target' else name} {getattr(found, name)!r}"
        for name, value in asked.items()
        if None not in (value, getattr(found, name)) and value != getattr(found, name)
    ]
    if differences:
        raise DatasetConflict(found.id, " and ".join(differences))


def lacks(found: DatasetResource, options: UploadOptions) -> bool:
    """Whether ``options`` name a label or column of ids, and ``found`` has none."""
    return bool((options.label and not found.target) or (options.id_column and not found.id_column))


def together(found: DatasetResource, description: Mapping[str, Any], options: UploadOptions) -> UploadOptions:
    """What ``options`` say of the file of ``found``, and what was said when it came first."""
    return replace(
        options,
        label=options.label or found.target,
        id_column=options.id_column or found.id_column,
        task=options.task or (found.task if description.get("task_was_said") else None),
        unlabelled=options.unlabelled if found.target is None else description.get("unlabelled", "refuse"),
    )
