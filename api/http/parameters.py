"""Parameters that several routes take."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

from api import examples

LARGEST = 2**53  # the integers that JavaScript and JSON agree on
JobId = Annotated[
    str, Path(max_length=64, pattern=r"^[^\x00]+$", examples=[examples.JOB_ID], description="The id of the job.")
]
DatasetId = Annotated[
    str,
    Path(max_length=200, pattern=r"^[^\x00]+$", examples=[examples.DATASET_ID], description="The id of the data set."),
]
AfterEvent = Annotated[
    int,
    Query(
        ge=0,
        le=LARGEST,
        description="Only events after this number: `next_after` of the response before. 0: from the first on. "
        "A stream begins here too.",
    ),
]
EventLimit = Annotated[int, Query(ge=1, le=10_000, description="At most this many events. Not used by a stream.")]
