"""What carries experiments on, as a process that a test can kill: ``python -m tests.support.advancing_process URL``."""

from __future__ import annotations

import sys
import time

from hposvc.db.engine import create_engine
from hposvc.experiments.advance import Advancing
from tests.support.harness import UncheckedJobs

if __name__ == "__main__":
    engine = create_engine(sys.argv[1])
    advancing = Advancing(engine, UncheckedJobs(engine))
    while True:
        advancing.advance()
        time.sleep(0.05)
