"""Data sets as the service returns them: uploaded ones from their rows in the database, and the bundled ones."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

import sqlalchemy as sa

from hposvc.db.tables import datasets
from hposvc.schema.datasets import ColumnResource, DatasetLinks, DatasetResource

MOST_LISTED_COLUMNS = 200
DESCRIPTION_BYTES = sa.func.coalesce(
    datasets.c.description_bytes,
    sa.func.length(sa.cast(datasets.c.columns, sa.Text)) + sa.func.length(sa.cast(datasets.c.description, sa.Text)),
)


def resource(row: sa.RowMapping) -> DatasetResource:
    """An uploaded set, from its row in the database."""
    description = row["description"]
    path = f"/v1/datasets/{row['id']}"
    return DatasetResource(
        id=row["id"],
        name=row["name"],
        source="upload",
        rows=row["rows"],
        columns=[ColumnResource(**column) for column in row["columns"]],
        size=row["size"],
        created_at=datetime.fromtimestamp(row["created_at"], UTC),
        content_sha256=None if "parent" in description else description.get("sent_sha256") or row["content_sha256"],
        parent=description.get("parent"),
        version=description.get("version", 1),
        reviewed=description.get("reviewed"),
        review_column=description.get("review_column"),
        cautions=[*description.get("cautions", ()), *description.get("label_cautions", ())],
        links=DatasetLinks(self=path, rows=f"{path}/rows", file=f"{path}/file"),
        **{name: description[name] for name in ("task", "features", "target", "classes", "id_column", "image_shape")},
    )


def without_many_columns(found: DatasetResource) -> DatasetResource:
    """The same for a list: its columns are left out when there are more than MOST_LISTED_COLUMNS."""
    many = found.columns is not None and len(found.columns) > MOST_LISTED_COLUMNS
    return found.model_copy(update={"columns": None}) if many else found


@cache
def bundled_resource(dataset_id: str) -> DatasetResource:
    """One of the sets that come along."""
    import numpy as np

    from hposvc import training_data
    from hposvc.schema.spec import DatasetSpec

    table, dataset = training_data.bundled.table(dataset_id), training_data.load(DatasetSpec(id=dataset_id))
    path = f"/v1/datasets/{dataset_id}"
    columns = [
        ColumnResource(
            name=name,
            dtype="text" if name in table.categories else "number",
            role="label" if name == table.label else "feature",
            treatment="what is predicted" if name == table.label else "standardized by the training rows",
            missing=0,
            distinct=len(np.unique(values)),
        )
        for name, values in table.columns.items()
    ]
    return DatasetResource(
        id=dataset_id,
        name=dataset.name,
        source="bundled",
        task=dataset.task,
        rows=table.rows,
        features=dataset.features.shape[1],
        columns=columns,
        target=dataset.target_name,
        classes=None if dataset.classes is None else list(dataset.classes),
        id_column=None,
        image_shape=dataset.image_shape,
        size=None,
        created_at=None,
        content_sha256=None,
        links=DatasetLinks(self=path, rows=f"{path}/rows"),
    )
