"""How the radius of the finite difference changes the hypergradient: the same job at five radii, certified.

python examples/comparing_radii.py http://127.0.0.1:8080
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hposvc.client import Client

ITERATIONS = int(os.environ.get("ITERATIONS", "100"))
RADII = ("auto", 1e-4, 1e-2, 1e-1, 1.0)


def main(url: str, _: Path) -> None:
    """One job a radius; each is compared with the exact hypergradient at every tenth iteration."""
    with Client(url) as client:
        jobs = {
            radius: client.submit(
                {
                    "kind": "data_reweighting",
                    "name": f"radius {radius}",
                    "tags": ["radii"],
                    "dataset": {"id": "sklearn:wine", "label_noise": {"rate": 0.3}},
                    "solver": {"radius": radius, "certify_every": 10, "certify_against": "exact"},
                    "stop": {"iterations": ITERATIONS},
                }
            )
            for radius in RADII
        }
        print("radius   largest relative error   last upper loss")
        for radius, job in jobs.items():
            assert client.wait(job.id, interval=0.2).state == "succeeded", client.job(job.id).error
            columns = client.iterations(job.id, limit=100_000)
            errors = [error for error in columns.fd_relative_error if error is not None]
            print(f"{radius!s:>6}   {max(errors):22.2e}   {columns.upper_loss[-1]:15.5f}")


if __name__ == "__main__":
    main(sys.argv[1], Path())
