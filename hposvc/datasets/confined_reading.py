"""What is read of uploaded data sets before a job runs: in a process of its own, because a small file may hold much.

``check`` and ``rows`` start that process, ``python -m hposvc.datasets.confined_reading``, with bounds on time and
memory; ``ask`` starts another module, which calls ``respond``. It knows no database, and of the settings what reading
the store takes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hposvc import confined
from hposvc.confined import Bounds
from hposvc.schema.rows import JobRows
from hposvc.schema.spec import JobSpec
from hposvc.storage.environment import of_store
from hposvc.storage.store import Store, StoreError
from hposvc.tables.defects import DataError, Defect

if TYPE_CHECKING:
    from hposvc.datasets.stored import StoredDataset
    from hposvc.training_data import Checked, Upload

BOUNDS = Bounds(seconds=120, memory=4 * 2**30)


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
    """What ``python -m module`` makes of a ``command`` about data sets. Raises as ``check`` does."""
    command = command | {"stored": [asdict(item) for item in stored]}
    variables = of_store(stored[0].url, os.environ) if stored else {}
    remedy = "use fewer rows, or shorter texts"
    try:
        answer: dict[str, Any] = confined.call(module, command, BOUNDS, variables)
    except confined.TooSlowError:
        raise DataError([Defect("dataset.id", f"reading it took more than {BOUNDS.seconds} s", remedy)]) from None
    except confined.TooLargeError:
        message = f"reading it takes more than {BOUNDS.memory // 2**30} GiB of memory"
        raise DataError([Defect("dataset.id", message, remedy)]) from None
    except confined.CrashedError as error:
        message = f"reading it crashed the reader (status {error.status})"
        raise DataError([Defect("dataset.id", message, "write the file again, or send it as CSV")]) from None
    if "defects" in answer:
        raise DataError(Defect(**defect) for defect in answer["defects"])
    if "gone" in answer:
        raise FileNotFoundError(answer["gone"])
    if "store" in answer:
        raise StoreError(answer["store"])
    return answer


def respond(act: Callable[[dict[str, Any], dict[str, Upload]], dict[str, Any]]) -> None:
    """Call ``act`` with the command on standard input and its data sets; say the outcome on standard output."""
    from hposvc.datasets.stored import StoredDataset

    command = json.load(sys.stdin)
    try:
        answer = act(command, {item["id"]: upload(StoredDataset(**item)) for item in command["stored"]})
    except DataError as error:
        answer = {"defects": [asdict(defect) for defect in error.defects]}
    except FileNotFoundError as error:
        answer = {"gone": str(error)}
    except OSError as error:
        answer = {"store": str(error)}
    json.dump(answer, sys.stdout)


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


if __name__ == "__main__":
    respond(_done)
