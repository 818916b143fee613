"""The whole service on PostgreSQL, restarted part by part while it works: a small version of the benchmark."""

from __future__ import annotations

import pytest

from benchmarks.service_scale import fresh, run
from tests.support.postgresql import PostgreSQL


@pytest.mark.long
@pytest.mark.durability
@pytest.mark.slow
@pytest.mark.postgres
def test_two_apis_and_two_workers_are_replaced_and_nothing_is_lost(postgresql: PostgreSQL) -> None:
    with fresh(postgresql, "scale", None) as service:
        done = run(service, n_jobs=24, n_workers=2, restart=True)
    assert done.met, "the restart met no job at work"
