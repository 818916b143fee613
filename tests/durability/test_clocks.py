"""Workers whose clocks are an hour off: only the clock of the database counts."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.harness import Service, eventually, tiny_spec

pytestmark = [pytest.mark.durability, pytest.mark.slow]

HOUR = 3600
# Python reads the time by clock_gettime; SQLite, whose clock is that of the database, by gettimeofday.
SHIFT = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *spec) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(id, spec);
    const char *shift = getenv("clock_shift");
    if (!status && id == CLOCK_REALTIME && shift) spec->tv_sec += atol(shift);
    return status;
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that shifts the clock of whatever loads it first."""
    folder = tmp_path_factory.mktemp("shift")
    (folder / "shift.c").write_text(SHIFT)
    path = folder / "shift.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", path, folder / "shift.c", "-ldl"], check=True)
    return path


def shifted(library: Path, seconds: int) -> dict[str, str]:
    """The environment of a process whose clock is wrong."""
    return {"LD_PRELOAD": str(library), "clock_shift": str(seconds)}  # in lower case runners get it, too


def test_the_library_shifts_the_clock(library: Path) -> None:
    script = "import time, datetime; print(time.time(), datetime.datetime.now().timestamp())"
    said = subprocess.run(
        [sys.executable, "-c", script], env=shifted(library, -HOUR), capture_output=True, text=True, check=True
    )
    assert all(abs(time.time() - HOUR - float(number)) < 60 for number in said.stdout.split())


def test_workers_an_hour_off_lose_nothing_and_take_nothing_from_each_other(service: Service, library: Path) -> None:
    behind, ahead = (service.worker(environment=shifted(library, shift)) for shift in (-HOUR, HOUR))
    job_ids = [service.jobs.submit(tiny_spec("slow=0.03", stop={"iterations": 120})).id for _ in range(4)]
    held = eventually(lambda: held_by(service, job_ids, behind.pid), "it works, with its clock behind")
    eventually(lambda: held_by(service, job_ids, ahead.pid), "it works, with its clock ahead")
    service.until_iteration(held, 25)
    behind.kill()
    behind.wait()
    service.worker(environment=shifted(library, -HOUR))
    jobs = [service.assert_succeeded_exactly(job_id) for job_id in job_ids]
    outcomes = sorted(attempt["outcome"] for job_id in job_ids for attempt in service.attempts(job_id))
    assert outcomes == ["lost", "succeeded", "succeeded", "succeeded", "succeeded"], "only the one that was killed"
    for job in jobs:
        assert job.started_at is not None
        assert job.finished_at is not None
        assert job.created_at <= job.started_at <= job.finished_at
        assert abs(job.finished_at.timestamp() - time.time()) < HOUR / 2, "the time of the database"
    service.assert_history_is_sound(job_ids)
    print(f"{service.engine.dialect.name}: workers an hour behind and ahead, one killed: 0 of {len(jobs)} jobs lost")


def held_by(service: Service, job_ids: list[str], pid: int) -> str | None:
    return next((job_id for job_id in job_ids if f"-{pid}-" in (service.get(job_id).worker or "")), None)
