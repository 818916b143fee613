"""What a person can do with data sets: add, look, remove; and what a job finds of them.

A file comes into a directory of its own below ``work``, which stands until its row is committed or everything of it is
gone again: whatever was left by a process that died is found by ``sweep`` and removed, in the store too.
"""

from __future__ import annotations

import fcntl
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from hposvc.access.tenants import Quotas, assert_room
from hposvc.db.engine import read, write
from hposvc.db.tables import DEFAULT_TENANT, datasets, jobs
from hposvc.failpoints import failpoint
from hposvc.files.durable import sha256_of
from hposvc.schema.datasets import ColumnResource, DatasetLinks, DatasetPage, DatasetResource, RowsPreview
from hposvc.schema.paging import InvalidPageToken, decode_page, encode_page
from hposvc.schema.spec import JobSpec
from hposvc.schema.states import TERMINAL
from hposvc.storage.store import Store
from hposvc.tables.defects import DataError, Defect
from hposvc.tables.ingest import ingest
from hposvc.tables.options import UploadOptions
from hposvc.tables.reading import Format

if TYPE_CHECKING:
    from hposvc.training_data import Checked, Dataset, Upload

NO_LIMITS = Quotas()
MOST_LISTED_COLUMNS = 200
MOST_PREVIEWED = 1000
LONGEST_NAME = 200


class DatasetNotFound(LookupError):
    """There is no such data set (of this tenant). Carries ``dataset_id``."""

    def __init__(self, dataset_id: str) -> None:
        self.dataset_id = dataset_id
        super().__init__(f"there is no data set {dataset_id}")


class DatasetInUse(Exception):
    """Jobs that are not over need the data set. Carries ``job_ids``."""

    def __init__(self, dataset_id: str, job_ids: list[str]) -> None:
        self.job_ids = job_ids
        listed = ", ".join(job_ids[:10]) + (f" and {len(job_ids) - 10} more" if len(job_ids) > 10 else "")
        super().__init__(f"{dataset_id} is needed by {listed}; wait for them, or cancel them first")


class DatasetConflict(Exception):
    """The same content is there already, with another label, column of ids or task. Carries ``dataset_id``."""

    def __init__(self, dataset_id: str, differences: str) -> None:
        self.dataset_id = dataset_id
        super().__init__(
            f"this content is {dataset_id} already, with {differences}; name another label in the job, "
            "as dataset.label, or remove it and send it again"
        )


@dataclass(frozen=True)
class StoredDataset:
    """What reading a stored data set takes."""

    id: str
    name: str
    url: str
    sha256: str
    description: dict[str, Any]


@dataclass(frozen=True)
class Incoming:
    """A place for one file on its way in: write it to ``path``."""

    id: str
    directory: Path

    @property
    def path(self) -> Path:
        """Where the file goes, as it comes."""
        return self.directory / "body"


class Datasets:
    """The data sets of a database and a store. Safe to share between threads and processes.

    ``work`` is a local directory for files on their way in; without it, and a ``store``, nothing can be added.
    """

    def __init__(
        self,
        engine: sa.Engine,
        store: Store | None = None,
        work: Path | None = None,
        *,
        quotas: Quotas = NO_LIMITS,
    ) -> None:
        """``quotas`` hold for tenants that have none of their own."""
        self._engine = engine
        self._store = store or Store("")
        self._work = work
        self._quotas = quotas

    @contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """A place for a file, removed at the end whatever happens."""
        assert self._work is not None  # noqa: S101 - whoever adds was given one
        dataset_id = f"ds_{secrets.token_hex(10)}"
        with self._journal(dataset_id) as directory:
            yield Incoming(dataset_id, directory)

    @contextmanager
    def _journal(self, dataset_id: str) -> Iterator[Path]:
        """A directory that says, while it stands, that something of a data set may be half done."""
        assert self._work is not None  # noqa: S101
        directory = self._work / dataset_id
        directory.mkdir(parents=True)
        with (directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the process, however it ends
            try:
                yield directory
            finally:
                shutil.rmtree(directory, ignore_errors=True)

    def sweep(self) -> int:
        """Remove what processes that died left half done; answers how many data sets that was."""
        removed = 0
        for directory in [] if self._work is None or not self._work.is_dir() else sorted(self._work.glob("ds_*")):
            try:
                with (directory / "lock").open("a") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self._remove_files_without_row(directory.name)
                    shutil.rmtree(directory, ignore_errors=True)
                    removed += 1
            except (BlockingIOError, FileNotFoundError):
                continue  # somebody is at it
        return removed

    def _remove_files_without_row(self, dataset_id: str) -> None:
        with read(self._engine) as connection:
            known = connection.execute(sa.select(datasets.c.id).where(datasets.c.id == dataset_id)).scalar()
        if known is None:
            self._store.remove_all(_folder(dataset_id))

    def add(
        self,
        incoming: Incoming,
        *,
        sha256: str,
        name: str,
        format_: Format,
        options: UploadOptions,
        tenant: str = DEFAULT_TENANT,
    ) -> tuple[DatasetResource, bool]:
        """Check the file that came in, and keep it; answers the data set and whether it is new.

        The same content of one tenant is one data set. Raises DataError: what is wrong with the file or what was said
        about it; DatasetConflict.
        """
        check_name(name)
        known = self._known(sha256, tenant, options)
        if known is not None:
            return known, False
        target = incoming.directory / "data.parquet"
        description = ingest(incoming.path, format_, target, options)
        failpoint("dataset.checked")
        columns = description.pop("columns")
        values = {
            "id": incoming.id,
            "tenant_id": tenant,
            "name": name,
            "content_sha256": sha256,
            "columns": columns,
            "description": description,
            "rows": description["rows"],
            "size": target.stat().st_size,
            "sha256": sha256_of(target),
            "url": self._store.put(target, f"{_folder(incoming.id)}/data.parquet"),
        }
        failpoint("dataset.stored")
        try:
            with write(self._engine) as connection:
                assert_room(connection, tenant, target.stat().st_size, self._quotas)
                row = connection.execute(datasets.insert().values(values).returning(datasets)).mappings().one()
                failpoint("dataset.before_commit")
        except BaseException as error:
            self._store.remove_all(_folder(incoming.id))
            if not isinstance(error, sa.exc.IntegrityError):
                raise
            known = self._known(sha256, tenant, options)  # somebody sent the same at the same time
            if known is None:
                raise
            return known, False
        failpoint("dataset.committed")
        return _resource(row), True

    def _known(self, sha256: str, tenant: str, options: UploadOptions) -> DatasetResource | None:
        mine = (datasets.c.content_sha256 == sha256, datasets.c.tenant_id == tenant)
        with read(self._engine) as connection:
            row = connection.execute(datasets.select().where(*mine)).mappings().first()
        if row is None:
            return None
        found = _resource(row)
        asked = {"target": options.label, "id_column": options.id_column, "task": options.task}
        differences = [
            f"{'label' if name == 'target' else name} {getattr(found, name)!r}"
            for name, value in asked.items()
            if value is not None and value != getattr(found, name)
        ]
        if differences:
            raise DatasetConflict(found.id, " and ".join(differences))
        return found

    def get(self, dataset_id: str, *, tenant: str = DEFAULT_TENANT) -> DatasetResource:
        """One data set, bundled or uploaded. Raises DatasetNotFound."""
        from hposvc.training_data import bundled

        if dataset_id in bundled.names():
            return bundled_resource(dataset_id)
        return _resource(self._row(dataset_id, tenant))

    def list_(self, *, tenant: str = DEFAULT_TENANT, limit: int = 50, page_token: str | None = None) -> DatasetPage:
        """A page of the tenant's data sets, newest first, the bundled ones at the end. Raises InvalidPageToken."""
        from hposvc.training_data import bundled

        query = datasets.select().where(datasets.c.tenant_id == tenant)
        if page_token is not None:
            query = query.where(sa.tuple_(datasets.c.created_at, datasets.c.id) < sa.tuple_(*_keys_of_page(page_token)))
        query = query.order_by(datasets.c.created_at.desc(), datasets.c.id.desc()).limit(limit + 1)
        with read(self._engine) as connection:
            rows = connection.execute(query).mappings().all()
        items = [_without_many_columns(_resource(row)) for row in rows[:limit]]
        if len(rows) > limit:
            return DatasetPage(items=items, next_page=encode_page(rows[limit - 1]["created_at"], rows[limit - 1]["id"]))
        items += [_without_many_columns(bundled_resource(name)) for name in bundled.names()]
        return DatasetPage(items=items)

    def remove(self, dataset_id: str, *, tenant: str = DEFAULT_TENANT) -> None:
        """Remove the data set and its file. Raises DatasetNotFound; DatasetInUse: a job that is not over needs it."""
        with self._journal_of_removal(dataset_id):
            with write(self._engine) as connection:
                mine = (datasets.c.id == dataset_id, datasets.c.tenant_id == tenant)
                row = connection.execute(datasets.select().where(*mine).with_for_update()).first()
                if row is None:
                    raise DatasetNotFound(dataset_id)
                users = _users(connection, dataset_id, tenant)
                if users:
                    raise DatasetInUse(dataset_id, users)
                connection.execute(datasets.delete().where(*mine))
            failpoint("dataset.removed")
            self._store.remove_all(_folder(dataset_id))

    @contextmanager
    def _journal_of_removal(self, dataset_id: str) -> Iterator[None]:
        if self._work is None or not re.fullmatch(r"ds_[0-9a-f]{20}", dataset_id):
            raise DatasetNotFound(dataset_id)
        try:
            with self._journal(dataset_id):
                yield
        except FileExistsError:  # somebody else is removing it
            raise DatasetNotFound(dataset_id) from None

    def preview(self, dataset_id: str, *, limit: int = 20, tenant: str = DEFAULT_TENANT) -> RowsPreview:
        """The first rows. Raises DatasetNotFound, FileNotFoundError if the store lost the file."""
        from hposvc.training_data import bundled

        if dataset_id in bundled.names():
            table = bundled.table(dataset_id)
            values = [
                [bundled_value(table, name, row) for name in table.columns] for row in range(min(limit, table.rows))
            ]
            return RowsPreview(columns=list(table.columns), rows=values, total=table.rows)
        import pyarrow.parquet as pq

        row = self._row(dataset_id, tenant)
        with self._store.open(row["url"]) as file:
            batch = next(pq.ParquetFile(file).iter_batches(limit, use_threads=False))
        records = batch.slice(0, limit).to_pylist()
        return RowsPreview(
            columns=batch.schema.names,
            rows=[[_plain(value) for value in record.values()] for record in records],
            total=row["rows"],
        )

    def check(self, spec: JobSpec, *, tenant: str = DEFAULT_TENANT) -> Checked:
        """Check ``spec`` against its data sets; answers it with what they say filled in, and with cautions.

        Raises DataError.
        """
        from hposvc.training_data import check  # here: it loads what a process that only reads need not

        try:
            return check(spec, self._uploads(spec, tenant))
        except FileNotFoundError:
            message = f"the file of {spec.dataset.id} is not in the store any more"
            raise DataError([Defect("dataset.id", message, "remove the data set and upload it again")]) from None

    def load(self, spec: JobSpec, *, tenant: str = DEFAULT_TENANT) -> Dataset:
        """What the job learns from, all of it in memory. Raises DataError."""
        from hposvc.training_data import load

        return load(spec.dataset, spec.hyperparameters.group_columns, self._uploads(spec, tenant))

    def _uploads(self, spec: JobSpec, tenant: str) -> dict[str, Upload]:
        from hposvc.training_data import Upload

        with read(self._engine) as connection:
            stored = find(connection, spec.dataset.ids, tenant)
        return {
            item.id: Upload(item.id, item.name, item.description, lambda url=item.url: self._store.open(url))  # type: ignore[misc]
            for item in stored
        }

    def _row(self, dataset_id: str, tenant: str) -> sa.RowMapping:
        query = datasets.select().where(datasets.c.id == dataset_id, datasets.c.tenant_id == tenant)
        with read(self._engine) as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            raise DatasetNotFound(dataset_id)
        return row


def find(connection: sa.Connection, ids: Iterable[str], tenant: str, *, hold: bool = False) -> list[StoredDataset]:
    """Those of the uploaded data sets ``ids`` that the tenant has. ``hold`` keeps them until the transaction ends."""
    query = datasets.select().where(datasets.c.id.in_(list(ids)), datasets.c.tenant_id == tenant)
    rows = connection.execute(query.with_for_update(read=True) if hold else query).mappings().all()
    return [
        StoredDataset(
            row["id"], row["name"], row["url"], row["sha256"], {**row["description"], "columns": row["columns"]}
        )
        for row in rows
    ]


def hold(connection: sa.Connection, spec: JobSpec, tenant: str) -> None:
    """Keep the uploaded data sets of ``spec`` from being removed in this transaction. Raises DataError: one is gone."""
    uploaded = {name for name in spec.dataset.ids if name.startswith("ds_")}
    gone = uploaded - {item.id for item in find(connection, uploaded, tenant, hold=True)} if uploaded else set()
    if gone:
        raise DataError([Defect("dataset.id", f"there is no data set {min(gone)!r} any more", "upload it again")])


def check_name(name: str) -> None:
    """Refuse what is no name. Raises DataError."""
    wrong = None
    if not name.strip() or len(name) > LONGEST_NAME:
        wrong = f"must have 1 to {LONGEST_NAME} characters"
    elif "/" in name or "\\" in name or name in (".", ".."):
        wrong = "is a path"
    elif any(ord(character) < 32 or 0xD800 <= ord(character) < 0xE000 for character in name):
        wrong = "has control characters"
    if wrong:
        raise DataError([Defect("name", wrong, "give a plain name, like wine.csv")])


def _keys_of_page(token: str) -> tuple[float, str]:
    """When the last data set of the page before was made, and its id. Raises InvalidPageToken."""
    parts = decode_page(token)
    if len(parts) != 2 or type(parts[0]) not in (int, float) or not isinstance(parts[1], str):
        raise InvalidPageToken
    if not abs(parts[0]) < 1e12:  # also not a number
        raise InvalidPageToken
    return float(parts[0]), parts[1]


def _folder(dataset_id: str) -> str:
    return f"datasets/{dataset_id}"


def _users(connection: sa.Connection, dataset_id: str, tenant: str) -> list[str]:
    """The jobs that are not over and name the data set."""
    named = jobs.c.spec["dataset"]
    places = (named["id"], named["split"]["validation"], named["split"]["test"])
    query = sa.select(jobs.c.id).where(
        jobs.c.tenant_id == tenant,
        jobs.c.state.not_in(TERMINAL),
        sa.or_(*(place.as_string() == dataset_id for place in places)),
    )
    return list(connection.execute(query.order_by(jobs.c.id)).scalars())


def _resource(row: sa.RowMapping) -> DatasetResource:
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
        content_sha256=row["content_sha256"],
        links=DatasetLinks(self=path, rows=f"{path}/rows"),
        **{name: description[name] for name in ("task", "features", "target", "classes", "id_column", "image_shape")},
    )


def _without_many_columns(resource: DatasetResource) -> DatasetResource:
    many = resource.columns is not None and len(resource.columns) > MOST_LISTED_COLUMNS
    return resource.model_copy(update={"columns": None}) if many else resource


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


def bundled_value(table: Any, name: str, row: int) -> Any:
    """One value of a bundled table, as a person knows it."""
    value = table.columns[name][row].item()
    return table.categories[name][value] if name in table.categories else value


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
