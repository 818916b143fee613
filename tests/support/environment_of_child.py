"""What a confined process is given, as JSON: ``python -m tests.support.environment_of_child``."""

from __future__ import annotations

import json
import os
import resource
import sys

if __name__ == "__main__":
    command = json.load(sys.stdin)
    if command == "die":
        os.abort()
    if command == "grow":
        bytearray(2**33)
    if command == "linger":
        sys.stdin.close()
        os.read(os.pipe()[0], 1)
    json.dump({"variables": dict(os.environ), "memory": resource.getrlimit(resource.RLIMIT_AS)[0]}, sys.stdout)
