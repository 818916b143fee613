"""Following a job while its service is away for a while."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hposvc.cli import watching
from hposvc.cli.watching import follow, wait
from hposvc.client import Client, ProblemError, ServerUnreachableError
from tests.support.serving import RESULT, Server, running


def test_watching_outlasts_an_outage(database_url: str, tmp_path: Path) -> None:
    with Server(database_url, tmp_path) as server, Client(server.url) as client, ThreadPoolExecutor() as threads:
        job, attempt = running(server.engine, 3)
        views = follow(client, job.id)
        assert next(views).waiting == ""
        waits = threads.submit(wait, client, job.id)
        server.stop()
        away = next(views)
        assert (away.job.progress.iteration, away.waiting) == (3, "the service does not respond; trying again")
        assert next(views).waiting
        attempt.succeed(RESULT, [])
        server.start()
        last = list(views)[-1]
        assert (last.job.state, last.waiting) == ("succeeded", "")
        assert waits.result().state == "succeeded"


def test_a_service_that_stays_away_or_refuses_is_no_outage(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server(database_url, tmp_path) as server, Client(server.url) as client:
        job, _ = running(server.engine, 3)
        with pytest.raises(ProblemError):
            next(follow(client, "job_none"))
        views = follow(client, job.id)
        next(views)
        server.stop()
        monkeypatch.setattr(watching, "PATIENCE", -1)
        with pytest.raises(ServerUnreachableError):
            next(views)
        with pytest.raises(ServerUnreachableError):
            next(follow(client, job.id))
        server.start()
