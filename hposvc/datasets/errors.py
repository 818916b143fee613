"""Why a call about data sets is refused."""

from __future__ import annotations

from hposvc.copyable import Copyable


class DatasetNotFound(Copyable, LookupError):
    """There is no such data set (of this tenant). Carries ``dataset_id``."""

    def __init__(self, dataset_id: str) -> None:
        self.dataset_id = dataset_id
        super().__init__(f"there is no data set {dataset_id}")


class DatasetInUse(Copyable, Exception):
    """Jobs that are not over need the data set. Carries ``job_ids``."""

    def __init__(self, dataset_id: str, job_ids: list[str]) -> None:
        self.job_ids = job_ids
        listed = ", ".join(job_ids[:10]) + (f" and {len(job_ids) - 10} more" if len(job_ids) > 10 else "")
        super().__init__(f"{dataset_id} is needed by {listed}; wait for them, or cancel them first")


class DatasetConflict(Copyable, Exception):
    """The same content is there already, with another label, column of ids or task. Carries ``dataset_id``."""

    def __init__(self, dataset_id: str, differences: str) -> None:
        self.dataset_id = dataset_id
        super().__init__(
            f"this content is {dataset_id} already, with {differences}; name another label in the job, "
            "as dataset.label, or remove it and send it again"
        )
