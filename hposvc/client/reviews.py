"""The calls about decisions, as methods."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hposvc.client.connection import Connection
from hposvc.files.durable import replacing
from hposvc.schema.datasets import DatasetResource
from hposvc.schema.reviews import MOST_DECISIONS, Decided, Decision, DecisionPage, RowDecision, RowHistory, Undone


class ReviewCalls:
    """What people decide about the labels of a data set: ``client.reviews``."""

    def __init__(self, http: Connection) -> None:
        self._http = http

    def decisions(self, dataset_id: str, *, label: str | None = None) -> Iterator[Decision]:
        """The decision that counts about each row, in the order of the rows in the file.

        ``label`` is the column that was judged, by default that of the data set.
        """
        page = None
        while True:
            given = {key: value for key, value in {"label": label, "page": page}.items() if value is not None}
            found = DecisionPage.model_validate(self._http.call("GET", _path(dataset_id), params=given))
            yield from found.items
            if (page := found.next_page) is None:
                return

    def history(self, dataset_id: str, row: str, *, label: str | None = None) -> RowHistory:
        """All decisions about one row, newest first, those that were undone included."""
        params = {} if label is None else {"label": label}
        path = f"{_path(dataset_id)}/{quote(row, safe='')}"
        return RowHistory.model_validate(self._http.call("GET", path, params=params))

    def decide(
        self,
        dataset_id: str,
        decisions: Sequence[RowDecision],
        *,
        job: str | None = None,
        label: str | None = None,
    ) -> Decided:
        """Keep all ``decisions``, at most 10,000, or none.

        ``job`` is the job whose result was looked at. Raises ProblemError: a row or class that there is not; (412) a
        decision that was made for a ``version`` which counts no more.
        """
        body: dict[str, Any] = {
            "decisions": [each.model_dump(mode="json", exclude_none=True) for each in decisions],
            "job": job,
            "label": label,
        }
        return Decided.model_validate(self._http.once("PUT", _path(dataset_id), json=body))

    def decide_many(
        self,
        dataset_id: str,
        decisions: Sequence[RowDecision],
        *,
        job: str | None = None,
        label: str | None = None,
    ) -> list[Decided]:
        """Keep any number of decisions, in requests of at most 10,000, each of which is kept as a whole."""
        starts = range(0, len(decisions), MOST_DECISIONS)
        return [self.decide(dataset_id, decisions[i : i + MOST_DECISIONS], job=job, label=label) for i in starts]

    def undo(self, dataset_id: str, batch: str) -> Undone:
        """Let the decisions of one request count no more, unless newer ones have replaced them."""
        return Undone.model_validate(self._http.call("DELETE", _path(dataset_id), params={"batch": batch}))

    def make_version(self, dataset_id: str, *, label: str | None = None, name: str | None = None) -> DatasetResource:
        """A new data set from this one and the decisions about it; the same decisions make it once.

        Jobs may trust its reviewed rows: ``dataset: {id: …, trusted: reviewed}``. Raises ProblemError: nobody decided.
        """
        params = {key: value for key, value in {"label": label, "name": name}.items() if value is not None}
        path = f"/v1/datasets/{quote(dataset_id, safe='')}/versions"
        return DatasetResource.model_validate(self._http.call("POST", path, params=params))

    def download(self, dataset_id: str, target: Path, *, spreadsheet: bool = False) -> None:
        """Write a data set to ``target``: as Parquet if its name ends so, otherwise as CSV. Raises OSError.

        For a ``spreadsheet``, CSV has an apostrophe before text that would be taken for a formula.
        """
        params = {"format": "parquet" if target.suffix == ".parquet" else "csv", "spreadsheet": spreadsheet}
        path = f"/v1/datasets/{quote(dataset_id, safe='')}/file"
        with replacing(target) as file, self._http.stream(path, params=params) as response:
            for piece in response.iter_bytes():
                file.write(piece)


def _path(dataset_id: str) -> str:
    return f"/v1/datasets/{quote(dataset_id, safe='')}/reviews"
