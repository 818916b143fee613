"""Submit one job from a process of its own: arguments are the database URL and the idempotency key."""

import sys

from hposvc.db.engine import create_engine
from hposvc.jobs.service import Jobs
from tests.workers.harness import tiny_spec

if __name__ == "__main__":
    url, key = sys.argv[1:]
    print(Jobs(create_engine(url), check=lambda spec: None).submit(tiny_spec(), idempotency_key=key).id)
