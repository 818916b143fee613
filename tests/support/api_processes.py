"""The API as a process, and another one in its place whenever it is killed. Its settings are in the environment."""

from __future__ import annotations

import os
import signal
import sys

import api.app  # noqa: F401 - here, so that each process starts at once
from hposvc.operate.serve import run_api
from hposvc.settings import Settings

if __name__ == "__main__":
    while True:
        child = os.fork()
        if child == 0:
            run_api(Settings())
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status != -signal.SIGKILL:
            sys.exit(f"the API ended with {status}")
