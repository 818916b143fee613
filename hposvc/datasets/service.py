"""What a person can do with data sets: add, look, remove; and what a job finds of them.

A file comes into a directory of its own below ``work``, which stands until its row is committed or everything of it is
gone again: whatever was left by a process that died is found by ``sweep`` and removed, in the store too.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from hposvc.access.tenants import Quotas, assert_room
from hposvc.datasets import confined_reading, previews, roles
from hposvc.datasets.errors import DatasetConflict, DatasetInUse, DatasetNotFound
from hposvc.datasets.resources import DESCRIPTION_BYTES, bundled_resource, resource, without_many_columns
from hposvc.datasets.stored import StoredDataset, find, users_of
from hposvc.db.engine import read, write
from hposvc.db.tables import DEFAULT_TENANT, datasets
from hposvc.failpoints import failpoint
from hposvc.files.durable import sha256_of
from hposvc.schema.datasets import DatasetPage, DatasetResource, RowsPreview
from hposvc.schema.paging import InvalidPageToken, decode_page, encode_page, how_many_fit
from hposvc.schema.spec import JobSpec
from hposvc.storage.store import Store
from hposvc.tables.defects import DataError, Defect
from hposvc.tables.ingest import ingest
from hposvc.tables.options import Reading, UploadOptions

if TYPE_CHECKING:
    from hposvc.schema.rows import JobRows
    from hposvc.training_data import Checked, Upload

NO_LIMITS = Quotas()
MOST_PREVIEWED = 1000
LONGEST_NAME = 200
AS_IT_IS = UploadOptions()


@dataclass(frozen=True)
class Incoming:
    """A place for one file on its way in: write it to ``path``."""

    id: str
    directory: Path

    @property
    def path(self) -> Path:
        """Where the file goes, as it comes."""
        return self.directory / "body"


@dataclass(frozen=True)
class Made:
    """A data set that is to be kept: its name, what makes it the same as another one, and what it holds."""

    name: str
    identity: str
    description: Mapping[str, Any]


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
        """Remove what processes that died left half done; returns how many data sets that was."""
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
        options: UploadOptions,
        tenant: str = DEFAULT_TENANT,
    ) -> tuple[DatasetResource, bool]:
        """Check the file that came in, and keep it; returns the data set and whether it is new.

        The same content of one tenant, read alike, is one data set. A label or column of ids that it lacks is given to
        it, unless jobs name it already: theirs is the data set as it was. Raises DataError: what is wrong with the file
        or what was said about it; DatasetConflict.
        """
        check_name(name)
        identity = _identity(sha256, options.reading)
        known = self._known(identity, tenant, options)
        if known is not None:
            return self._completed(known, incoming, tenant, options), False
        target = incoming.directory / "data.parquet"
        description = ingest(incoming.path, target, options)
        failpoint("dataset.checked")
        made = Made(name, identity, description | {"sent_sha256": sha256})
        return self.keep(incoming, target, made, tenant=tenant, options=options)

    def keep(
        self,
        incoming: Incoming,
        target: Path,
        made: Made,
        *,
        tenant: str = DEFAULT_TENANT,
        options: UploadOptions = AS_IT_IS,
    ) -> tuple[DatasetResource, bool]:
        """Keep the Parquet file ``target`` as a data set; returns it, or the same one as it was kept before, and which.

        Raises DatasetConflict, QuotaExceeded.
        """
        description = dict(made.description)
        described = len(json.dumps(description))
        self.assert_room(tenant, target.stat().st_size + described)  # before anything is stored
        columns = description.pop("columns")
        values = {
            "id": incoming.id,
            "tenant_id": tenant,
            "name": made.name,
            "content_sha256": made.identity,
            "columns": columns,
            "description": description,
            "description_bytes": described,
            "rows": description["rows"],
            "size": target.stat().st_size,
            "sha256": sha256_of(target),
            "url": self._store.put(target, f"{_folder(incoming.id)}/data.parquet"),
        }
        failpoint("dataset.stored")
        try:
            with write(self._engine) as connection:
                assert_room(connection, tenant, target.stat().st_size + described, self._quotas)
                row = connection.execute(datasets.insert().values(values).returning(datasets)).mappings().one()
                failpoint("dataset.before_commit")
        except BaseException as error:
            self._store.remove_all(_folder(incoming.id))
            if not isinstance(error, sa.exc.IntegrityError):
                raise
            known = self._known(made.identity, tenant, options)  # somebody sent the same at the same time
            if known is None:
                raise
            return known, False
        failpoint("dataset.committed")
        return resource(row), True

    def assert_room(self, tenant: str, size: int = 1) -> None:
        """Raise QuotaExceeded if the tenant may not store ``size`` more bytes."""
        with write(self._engine) as connection:
            assert_room(connection, tenant, size, self._quotas)

    def _known(self, identity: str, tenant: str, options: UploadOptions) -> DatasetResource | None:
        mine = (datasets.c.content_sha256 == identity, datasets.c.tenant_id == tenant)
        with read(self._engine) as connection:
            row = connection.execute(datasets.select().where(*mine)).mappings().first()
        if row is None:
            return None
        found = resource(row)
        roles.assert_agree(found, options)
        return found

    def _completed(
        self, found: DatasetResource, incoming: Incoming, tenant: str, options: UploadOptions
    ) -> DatasetResource:
        """``found`` with the label or column of ids that it lacks and ``options`` name, checked against the file.

        Roles are no content: the stored file stays as it is. Raises DataError, DatasetConflict.
        """
        if not roles.lacks(found, options):
            return found
        before = self._row(found.id, tenant)["description"]
        said = ingest(incoming.path, incoming.directory / "data.parquet", roles.together(found, before, options))
        described, columns = len(json.dumps(said)), said.pop("columns")
        mine = (datasets.c.id == found.id, datasets.c.tenant_id == tenant)
        with write(self._engine) as connection:
            row = connection.execute(datasets.select().where(*mine).with_for_update()).mappings().first()
            if row is None:
                raise DatasetNotFound(found.id)
            if row["description"] != before:
                raise DatasetConflict(found.id, "roles that somebody gave it at the same time")
            if users_of(connection, found.id, tenant, also_ended=True):
                return found
            changed = {"columns": columns, "description": dict(before) | said, "description_bytes": described}
            update = datasets.update().where(*mine).values(changed).returning(datasets)
            return resource(connection.execute(update).mappings().one())

    def get(self, dataset_id: str, *, tenant: str = DEFAULT_TENANT) -> DatasetResource:
        """One data set, bundled or uploaded. Raises DatasetNotFound."""
        from hposvc.training_data import bundled

        if dataset_id in bundled.names():
            return bundled_resource(dataset_id)
        return resource(self._row(dataset_id, tenant))

    def list_(self, *, tenant: str = DEFAULT_TENANT, limit: int = 50, page_token: str | None = None) -> DatasetPage:
        """A page of the tenant's data sets, newest first, the bundled ones at the end. Raises InvalidPageToken."""
        from hposvc.training_data import bundled

        keys = (datasets.c.created_at, datasets.c.id)
        query = sa.select(*keys, DESCRIPTION_BYTES.label("size")).where(datasets.c.tenant_id == tenant)
        if page_token is not None:
            query = query.where(sa.tuple_(*keys) < sa.tuple_(*_keys_of_page(page_token)))
        query = query.order_by(*(key.desc() for key in keys)).limit(limit + 1)
        with read(self._engine) as connection:
            found = connection.execute(query).all()
            fitting = found[: min(limit, how_many_fit(row.size for row in found))]
            whole = datasets.select().where(datasets.c.id.in_([row.id for row in fitting]))
            rows = {row["id"]: row for row in connection.execute(whole).mappings()}
        items = [without_many_columns(resource(rows[row.id])) for row in fitting]
        if len(found) > len(fitting):
            return DatasetPage(items=items, next_page=encode_page(fitting[-1].created_at, fitting[-1].id))
        items += [without_many_columns(bundled_resource(name)) for name in bundled.names()]
        return DatasetPage(items=items)

    def remove(self, dataset_id: str, *, tenant: str = DEFAULT_TENANT) -> None:
        """Remove the data set and its file. Raises DatasetNotFound; DatasetInUse: a job that is not over needs it."""
        with self._journal_of_removal(dataset_id):
            with write(self._engine) as connection:
                mine = (datasets.c.id == dataset_id, datasets.c.tenant_id == tenant)
                row = connection.execute(datasets.select().where(*mine).with_for_update()).first()
                if row is None:
                    raise DatasetNotFound(dataset_id)
                users = users_of(connection, dataset_id, tenant)
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
        """The first rows, as many as fit. Raises DatasetNotFound, FileNotFoundError if the store lost the file."""
        from hposvc.training_data import bundled

        if dataset_id in bundled.names():
            return previews.of_bundled(bundled.table(dataset_id), limit)
        row = self._row(dataset_id, tenant)
        with self._store.open(row["url"]) as file:
            return previews.of_file(file, limit, row["rows"])

    def check(self, spec: JobSpec, *, tenant: str = DEFAULT_TENANT) -> Checked:
        """Check ``spec`` against its data sets; returns it with what they say filled in, and with cautions.

        Raises DataError.
        """
        from hposvc import training_data  # here: it loads what a process that only reads need not

        stored = self._stored(spec.data.ids, tenant)
        try:
            return confined_reading.check(spec, stored) if stored else training_data.check(spec)
        except FileNotFoundError:
            message = f"the file of {spec.data.id} is not in the store any more"
            raise DataError([Defect("dataset.id", message, "remove the data set and upload it again")]) from None

    def rows(self, spec: JobSpec, ids: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> JobRows:
        """The rows ``ids`` of the data set of a job, as they came. Raises DataError, FileNotFoundError."""
        from hposvc import training_data
        from hposvc.training_data.lookup import with_ids

        stored = self._stored(spec.data.ids, tenant)
        if stored:
            return confined_reading.rows(spec, stored, ids)
        return with_ids(training_data.load(spec.data, spec.hyperparameters.group_columns), ids)

    def stored(self, dataset_id: str, *, tenant: str = DEFAULT_TENANT) -> StoredDataset:
        """What reading an uploaded data set takes. Raises DatasetNotFound."""
        stored = self._stored([dataset_id], tenant)
        if not stored:
            raise DatasetNotFound(dataset_id)
        return stored[0]

    def upload(self, dataset_id: str, *, tenant: str = DEFAULT_TENANT) -> Upload:
        """An uploaded data set, to be read. Raises DatasetNotFound."""
        from hposvc.training_data import Upload

        item = self.stored(dataset_id, tenant=tenant)
        return Upload(item.id, item.name, item.description, lambda: self._store.open(item.url))

    def _stored(self, ids: Iterable[str], tenant: str) -> list[StoredDataset]:
        with read(self._engine) as connection:
            return find(connection, ids, tenant)

    def _row(self, dataset_id: str, tenant: str) -> sa.RowMapping:
        query = datasets.select().where(datasets.c.id == dataset_id, datasets.c.tenant_id == tenant)
        with read(self._engine) as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            raise DatasetNotFound(dataset_id)
        return row


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


def _identity(sha256: str, reading: Reading) -> str:
    """What is known as one data set: the SHA-256 of its file, and of how it is read where somebody said that."""
    if reading == Reading():
        return sha256
    return hashlib.sha256(json.dumps([sha256, asdict(reading)]).encode()).hexdigest()


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
