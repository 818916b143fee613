"""Everything that the first GPU is to show, in ten minutes: ``python -m benchmarks.gpu.check`` (``make gpu-check``).

Each stage is a process that is bounded in time, and the report is written after each. A stage that fails ends the
check, but for those that only measure. It changes no setting of the card, and needs no network.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

MINUTES = 10


class Stage(NamedTuple):
    """A process, the most seconds it may take, and whether nothing after it makes sense if it fails."""

    name: str
    command: tuple[str, ...]
    seconds: float
    needed: bool = True


def _own(name: str, seconds: float, *, needed: bool = True) -> Stage:
    return Stage(name, ("-m", "benchmarks.gpu.stages", name), seconds, needed)


STAGES = (
    _own("machine", 30),
    _own("compiler", 120),
    _own("card", 30),
    _own("jittor", 420),
    Stage("cases", ("-m", "tests.support.cuda_cases"), 420, needed=False),
    _own("same", 120, needed=False),
    _own("memory", 120, needed=False),
    _own("speed", 120, needed=False),
    _own("sanitizer", 120, needed=False),
)


class Done(NamedTuple):
    """What came of a stage: ``passed`` is None where it was not reached."""

    stage: Stage
    passed: bool | None
    seconds: float
    said: str


def run(stage: Stage, left: float, environment: dict[str, str]) -> Done:
    """Run a stage for at most the seconds that are left."""
    began = time.monotonic()
    command = [sys.executable, *stage.command]
    try:
        process = subprocess.run(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=min(stage.seconds, left),
        )
    except subprocess.TimeoutExpired as error:
        said = error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else error.stdout or ""
        return Done(stage, False, time.monotonic() - began, f"{said}\nnot done in {min(stage.seconds, left):.0f} s")
    passed = process.returncode == 0 and '"failed"' not in process.stdout
    return Done(stage, passed, time.monotonic() - began, process.stdout.strip())


def page(done: list[Done]) -> str:
    """The report: a line for each stage, what each said, and the verdict."""
    marks = {True: "passed", False: "FAILED", None: "not reached"}
    lines = [
        f"{platform.node()}, {platform.platform()}, Python {platform.python_version()}, {datetime.now(UTC):%F %T}Z",
        "",
    ]
    lines += [f"{each.stage.name:10} {marks[each.passed]:12} {each.seconds:6.1f} s" for each in done]
    for each in done:
        lines += ["", f"== {each.stage.name}", *each.said.splitlines()[-40:]]
    return "\n".join([*lines, "", verdict(done)])


def verdict(done: list[Done]) -> str:
    """One line."""
    failed = [each for each in done if each.passed is False]
    if not failed:
        return f"VERDICT: all {len(done)} stages passed"
    if failed[0].stage.name == "card":
        return f"VERDICT: {failed[0].said.splitlines()[-1]}; all before it passed"
    return f"VERDICT: failed at {', '.join(each.stage.name for each in failed)}"


def main() -> None:
    """Run the stages; exit with 0 where all passed, 3 where only the card is missing, and 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="a home directory for Jittor's cache, instead of this user's")
    parser.add_argument("--report", type=Path, default=Path("gpu-check.txt"))
    parser.add_argument("--minutes", type=float, default=MINUTES)
    arguments = parser.parse_args()
    environment = dict(os.environ)
    if arguments.home is not None:
        arguments.home.mkdir(parents=True, exist_ok=True)
        environment["HOME"] = str(arguments.home)
    end, done, stopped = time.monotonic() + 60 * arguments.minutes, [], False
    for stage in STAGES:
        left = end - time.monotonic()
        result = Done(stage, None, 0.0, "") if stopped or left < 1 else run(stage, left, environment)
        stopped = stopped or (result.passed is False and stage.needed)
        done.append(result)
        arguments.report.parent.mkdir(parents=True, exist_ok=True)
        arguments.report.write_text(page(done) + "\n")
        print(f"{stage.name}: {result.said.splitlines()[-1] if result.said else 'not reached'}", flush=True)
    print(verdict(done), f"(report: {arguments.report})")
    failed = [each.stage.name for each in done if each.passed is False]
    sys.exit(0 if not failed else 3 if failed[0] == "card" else 1)


if __name__ == "__main__":
    main()
