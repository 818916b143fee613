"""What the service costs: the time of a job in a worker, against the same spec run in a process of its own.

    python -m benchmarks.service_overhead --iterations 2000 --repeats 3 [--database-url postgresql+psycopg://…]

Both times go from the loaded job to its finished report. In the service that includes every iteration in the database,
the checkpoints and the files in the store. Runs alternate; medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hposvc.db import migrate
from hposvc.db.engine import create_engine
from hposvc.jobs import queries
from hposvc.jobs.service import Jobs
from hposvc.schema.spec import JobSpec
from hposvc.schema.states import TERMINAL, State
from hposvc.settings import Settings

ALONE = """
import sys, time
from hposvc.schema.spec import JobSpec
from hposvc.run.run import Run
run = Run(JobSpec.model_validate_json(sys.argv[1]))
begun = time.perf_counter()
for batch in run.iterations():
    pass
run.finish()
print(time.perf_counter() - begun)
"""

WORKER = """
import sys
from hposvc.settings import Settings
from workers.start import main
sys.exit(main(Settings(data_dir=sys.argv[1], database_url=sys.argv[2])))
"""


def alone(spec: JobSpec) -> float:
    """Seconds without the service."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE, spec.model_dump_json()], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def served(jobs: Jobs, settings: Settings, spec: JobSpec) -> float:
    """Seconds in a worker, by the clock of the database."""
    engine = create_engine(settings.database_url)
    job_id = jobs.submit(spec).id
    while (job := queries.get(engine, job_id)).state not in TERMINAL:
        time.sleep(0.2)
    if job.state is not State.SUCCEEDED:
        raise RuntimeError(f"the job {job.state}: {job.error}")
    at = {event.data.get("state"): event.at for event in queries.events(engine, job_id).items}
    engine.dispose()
    return (at["succeeded"] - at["running"]).total_seconds()


def main() -> int:
    """Print both medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--database-url")
    options = parser.parse_args()
    spec = JobSpec.model_validate(
        {
            "kind": "data_reweighting",
            "dataset": {"id": "sklearn:digits", "label_noise": {"rate": 0.6}},
            "model": {"type": "mlp", "hidden": [256]},
            "stop": {"iterations": options.iterations},
        }
    )
    with tempfile.TemporaryDirectory() as directory:
        given = {"database_url": options.database_url} if options.database_url else {}
        settings = Settings(data_dir=Path(directory), **given)
        migrate.upgrade(settings.database_url)
        jobs = Jobs(create_engine(settings.database_url))
        worker = subprocess.Popen([sys.executable, "-c", WORKER, directory, settings.database_url])
        try:
            served(jobs, settings, spec)  # compiles what is left to compile
            pairs = [(alone(spec), served(jobs, settings, spec)) for _ in range(options.repeats)]
        finally:
            worker.terminate()
            worker.wait()
    without, within = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"{options.iterations} iterations, median of {options.repeats}: {without:.2f} s alone, {within:.2f} s in the "
          f"service, {100 * (within / without - 1):+.1f} %")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
