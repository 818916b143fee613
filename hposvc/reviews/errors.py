"""Why a call about decisions is refused."""

from __future__ import annotations

from collections.abc import Sequence

from hposvc.copyable import Copyable


class NotReviewable(Copyable, Exception):
    """The data set comes with the service, and nobody corrects it. Carries ``dataset_id``."""

    def __init__(self, dataset_id: str) -> None:
        self.dataset_id = dataset_id
        super().__init__(f"{dataset_id} comes with the service, so its labels are not reviewed")


class DecidedMeanwhile(Copyable, Exception):
    """Other decisions count by now than the sender had seen. Carries ``rows``, their ids."""

    def __init__(self, rows: Sequence[str]) -> None:
        self.rows = list(rows)
        listed = ", ".join(self.rows[:10]) + (f" and {len(self.rows) - 10} more" if len(self.rows) > 10 else "")
        super().__init__(f"somebody decided in between about {listed}; nothing of the request was kept")


class BatchNotFound(Copyable, LookupError):
    """No decisions of the data set came with that request."""

    def __init__(self, batch: str) -> None:
        super().__init__(f"there is no batch {batch}")
