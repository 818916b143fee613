"""How many wrong labels are left after a review in rounds, by the order in which rows are looked at?

A simulated reviewer looks at 20 rows in each round and tells the truth; then labels are judged anew. Compared: the
order of hposvc with the reviewed rows as trusted rows, cleanlab's order, and chance. Real tables, wrong labels planted.

python -m benchmarks.review [--tables oj,chile] [--rounds 5] [--rows 20] [--rate 0.2] [--noise uniform] [--seeds 1]

Needs ``make peers``, which makes the rivals' environment.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.answers import noise
from benchmarks.answers.both import PEERS
from benchmarks.answers.cells import Cell
from benchmarks.review.simulated import solve

TABLES = "iris,wine,breast_cancer,digits,oj,chile,solder,bfi,crabs,spam7,mroz,penguins"
ORDERS = ("hposvc", "cleanlab", "chance")
FOLDER = Path(".hposvc/answers")


def main() -> None:
    """Review every table in every order; print a line for each as it is done, and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", default=TABLES, help="names of benchmarks/answers/tables.py, with commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--noise", default="uniform", choices=noise.KINDS)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    if not PEERS.exists():
        sys.exit("The rivals have no environment yet: run `make peers`.")
    FOLDER.mkdir(parents=True, exist_ok=True)
    names = options.tables.split(",")
    missing = [name for name in names if not (FOLDER / f"{name}.csv").exists()]
    if missing:
        subprocess.run([PEERS, Path(noise.__file__).with_name("tables.py"), FOLDER, *missing], check=True)
    left = "wrong rows left"
    print(f"| table | wrong at first | {' | '.join(f'{left}, {name} | accuracy' for name in ORDERS)} |")
    print("|---|---|" + "---|---|" * len(ORDERS))
    ends = []
    for name in names:
        cells = [Cell(name, seed, options.noise, options.rate, "unknown") for seed in range(options.seeds)]
        found = [solve(FOLDER / f"{name}.csv", cell, options.rounds, options.rows) for cell in cells]
        first = np.mean([each["hposvc"][0][0] for each in found])
        end = np.mean([[each[order][-1] for order in ORDERS] for each in found], axis=0)
        ends.append(end)
        figures = " | ".join(f"{wrong:.1f} | {accuracy:.3f}" for wrong, accuracy in end)
        print(f"| {name} | {first:.0f} | {figures} |", flush=True)
    counts = np.array(ends)[:, :, 0]
    for place, order in enumerate(ORDERS[1:], 1):
        fewer, equal = (counts[:, 0] < counts[:, place]).sum(), (counts[:, 0] == counts[:, place]).sum()
        print(f"\nFewer wrong rows left than by {order} on {fewer} of {len(ends)} tables, as many on {equal}.")


if __name__ == "__main__":
    main()
