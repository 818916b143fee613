"""What is read of uploaded data sets before a job runs: in a process of its own, because a small file may hold much.

``check`` and ``rows`` start that process, which calls ``respond``, with bounds on time and memory; ``ask`` does so with
another module. It knows no database, and of the settings what reading the store takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from hposvc.datasets import confined_work
from hposvc.datasets.confined_work import BOUNDS, Wording
from hposvc.schema.rows import JobRows
from hposvc.schema.spec import JobSpec
from hposvc.storage.store import Store

if TYPE_CHECKING:
    from hposvc.datasets.stored import StoredDataset
    from hposvc.training_data import Checked, Upload

NEEDS = ("hposvc.datasets.stored", "hposvc.training_data", "hposvc.training_data.lookup")
WORDING = Wording(
    "dataset.id", "reading", "use fewer rows, or shorter texts", "write the file again, or send it as CSV"
)


def check(spec: JobSpec, stored: Sequence[StoredDataset]) -> Checked:
    """``spec`` with what its data sets say filled in, and cautions.

    Raises DataError: also when that takes too much time or memory; FileNotFoundError, StoreError.
    """
    from hposvc.training_data import Checked

    found = _of_spec({"what": "check"}, spec, stored)
    return Checked(JobSpec.model_validate(found["spec"]), tuple(found["cautions"]))


def rows(spec: JobSpec, stored: Sequence[StoredDataset], ids: Sequence[str]) -> JobRows:
    """The rows ``ids`` of the data set of a job. Raises as ``check`` does."""
    return JobRows.model_validate(_of_spec({"what": "rows", "ids": list(ids)}, spec, stored)["rows"])


def _of_spec(command: dict[str, Any], spec: JobSpec, stored: Sequence[StoredDataset]) -> dict[str, Any]:
    return ask("hposvc.datasets.confined_reading", command | {"spec": spec.model_dump(mode="json")}, stored)


def ask(module: str, command: dict[str, Any], stored: Sequence[StoredDataset]) -> dict[str, Any]:
    """What ``module.respond`` makes of a ``command`` about data sets. Raises as ``check`` does."""
    command = command | {"stored": [asdict(item) for item in stored]}
    return confined_work.ask(module, command, stored[0].url if stored else None, BOUNDS, WORDING)


def respond(command: dict[str, Any]) -> dict[str, Any]:
    """The outcome of a command of this module."""
    return on_uploads(_done, command)


def on_uploads(
    act: Callable[[dict[str, Any], dict[str, Upload]], dict[str, Any]], command: dict[str, Any]
) -> dict[str, Any]:
    """The outcome of ``act`` with the command and its data sets."""
    from hposvc.datasets.stored import StoredDataset

    uploads = {item["id"]: upload(StoredDataset(**item)) for item in command["stored"]}
    return confined_work.outcome(partial(act, command, uploads))


def _done(command: dict[str, Any], uploads: dict[str, Upload]) -> dict[str, Any]:
    from hposvc import training_data
    from hposvc.training_data.lookup import with_ids

    spec = JobSpec.model_validate(command["spec"])
    if command["what"] == "check":
        checked = training_data.check(spec, uploads)
        return {"spec": checked.spec.model_dump(mode="json"), "cautions": checked.cautions}
    dataset = training_data.load(spec.data, spec.hyperparameters.group_columns, uploads)
    return {"rows": with_ids(dataset, command["ids"]).model_dump(mode="json")}


def upload(stored: StoredDataset) -> Upload:
    """The data set, to be read in this process."""
    from hposvc.training_data import Upload

    return Upload(stored.id, stored.name, stored.description, lambda: Store("").open(stored.url))
