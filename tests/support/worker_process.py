"""A worker as a process of its own, with a runner and times that a test chooses: its only argument is JSON."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from hposvc import logs, tracing
from hposvc.storage.store import Store
from workers.problems import described
from workers.start import RUNNER
from workers.supervisor import Supervisor
from workers.timing import Timing

TINY = (sys.executable, "-m", "tests.support.tiny_runner")

if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    logs.configure("info", "json" if os.environ.get("HPOSVC_LOG_FORMAT") == "json" else "console")
    supervisor = Supervisor(
        options["database_url"],
        Store(options["store_url"]),
        Path(options["work"]),
        runner=RUNNER if options["real"] else TINY,
        timing=Timing(**options["timing"]),
        memory_limit=options["memory_limit"],
        offers=options["offers"],
        retention=options["retention"],
        describe_problems=described if options["real"] else list,
        metrics_address=None if options["metrics_port"] is None else ("127.0.0.1", options["metrics_port"]),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    signal.signal(signal.SIGUSR1, lambda *_: supervisor.drain())
    stop_tracing = tracing.start("worker")
    supervisor.run(lambda show: None)
    stop_tracing()
