"""How long a small file takes to be read in a confined process: forked from a server, or after a start of its own.

    python -m benchmarks.confined

Reads a CSV file of 200 rows, by turns with a server that runs and without one. Prints the median of each in seconds.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from hposvc.confined import forking
from hposvc.tables.ingest import ingest
from hposvc.tables.options import Reading, UploadOptions

TIMES = 15
OPTIONS = UploadOptions(None, None, None, "refuse", Reading(None, None, None, None, (), True))


def main() -> None:
    """Print both."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "rows.csv"), Path(folder, "rows.parquet")
        source.write_text("a,b,target\n" + "".join(f"{i},{i % 7},{i % 2}\n" for i in range(200)))
        seconds: dict[str, list[float]] = {"with a start": [], "forked": []}
        for _ in range(TIMES):
            forking.end()
            for found in seconds.values():  # the first of the two starts the server
                begun = time.perf_counter()
                ingest(source, target, OPTIONS)
                found.append(time.perf_counter() - begun)
    for name, found in seconds.items():
        print(f"{name:14}{statistics.median(found):.3f} s  ({min(found):.3f} to {max(found):.3f})")


if __name__ == "__main__":
    main()
