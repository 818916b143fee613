"""What problems this machine has, and what each takes: found out in processes of their own, one for each problem.

Importing a package runs its code. Whatever that does, a worker goes on without the problem and says why.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

from hposvc.entry_points import Installed, installed
from hposvc.fleet.problems import Description
from workers.environment import of_runner

log = logging.getLogger(__name__)

SECONDS = 120.0  # for importing one package, Jittor included
LONGEST_FAULT = 500


def described(seconds: float = SECONDS) -> list[Description]:
    """Every installed problem; one that cannot be described in ``seconds`` has a fault."""
    return [_described(each, seconds) for each in installed().values()]


def _described(problem: Installed, seconds: float) -> Description:
    command = [sys.executable, "-P", "-m", "hposvc.problems.describe", problem.name]
    try:
        done = subprocess.run(
            command,
            env=of_runner(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode == 0:
            found = json.loads(done.stdout)
            return Description(problem.name, problem.version, found["summary"], found["parameters"], found["defaults"])
        fault = _last_line(done.stderr) or f"importing it ended with status {done.returncode}"
    except subprocess.TimeoutExpired:
        fault = f"importing it took more than {seconds:g} s"
    except (ValueError, KeyError, TypeError) as error:
        fault = f"its description cannot be read: {error}"
    log.error("the problem %s %s cannot be used: %s", problem.name, problem.version, fault)
    return Description(problem.name, problem.version, "", {}, {}, fault[:LONGEST_FAULT])


def _last_line(text: bytes) -> str:
    lines = [line.strip() for line in text.decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")
