"""How good is the analysis of the labels alone? The cells of the benchmark without a job and without rivals.

Takes about a second for each cell: for whoever changes ``hposvc.labels`` and wants to see what it does, on tables of
many kinds. Run it before and after the change, and compare the two.

python -m benchmarks.answers.analysis [--seeds 1] [--tables oj,chile]

Needs ``make peers``, whose environment has the tables.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.answers import cells, measures
from benchmarks.answers.__main__ import KEPT, names, write_tables
from benchmarks.answers.ours import planted, uploaded
from hposvc import training_data
from hposvc.labels.analysis import analyse
from hposvc.labels.classifiers import SoftmaxRegression
from hposvc.labels.cross_fit import Labels

MEASURES = ("area", "f1", "flagged", "unlikely_f1", "unlikely", "calibration_error", "held")
"""``unlikely``: the share of labels that are not the class that the features make likeliest; F1 of marking these."""


def judged(cell: cells.Cell, csv: Path) -> dict[str, float]:
    """What the analysis says of the cell's wrong rows."""
    made = planted(cell, csv)
    with uploaded(*made.sent) as (named, up):
        prepared = training_data.prepare(training_data.load(named.dataset, (), up), named)
    splits = prepared.splits
    parts = [part for part in (splits.train, splits.validation, splits.selection) if part is not None]
    unchecked, trusted = (parts, []) if cell.trusted == "unknown" else (parts[:1], parts[1:])
    features = np.concatenate([part.features for part in unchecked])
    labels = Labels(
        features,
        np.concatenate([part.targets for part in unchecked]),
        np.concatenate([features[:0], *(part.features for part in trusted)]),
        np.concatenate([splits.train.targets[:0], *(part.targets for part in trusted)]),
        len(prepared.dataset.classes or ()),
    )
    rows = np.concatenate([part.rows for part in unchecked])
    wrong = (made.given != made.clean)[rows]
    found = analyse(labels, SoftmaxRegression())
    unlikely = found.opinion.argmax(1) != labels.given
    simple = {"unlikely": float(unlikely.mean())}
    if wrong.any():
        simple["unlikely_f1"] = 2 * float((unlikely & wrong).sum()) / float(unlikely.sum() + wrong.sum())
    return (
        measures.of_ranking(found.probability_wrong, found.suspects, wrong)
        | simple
        | {
            "calibration_error": measures.calibration_error(found.probability_wrong, wrong),
            "held": float(found.wrong_rows.low <= wrong.sum() <= found.wrong_rows.high),
        }
    )


def main() -> None:
    """Judge every cell with a linear model, and print means by noise, rate and trusted rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--tables", default="", help="names from tables.py, with commas; all of them by default")
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    wanted = [name for name in options.tables.split(",") if name] or names()["classes"]
    KEPT.mkdir(parents=True, exist_ok=True)
    write_tables(KEPT, set(wanted))
    found: dict[tuple[str, ...], list[dict[str, float]]] = defaultdict(list)
    for cell in cells.of_labels(wanted, options.seeds):
        if cell.model == "linear":
            said = judged(cell, KEPT / f"{cell.table}.csv")
            for key in ((cell.noise, f"{cell.rate:.0%}", cell.trusted), ("all", "", ""), (cell.table, "", "")):
                found[key].append(said)
    print(f"{'noise':14}{'wrong':>6}{'trusted':>9}{'cells':>6}" + "".join(f"{name:>19}" for name in MEASURES))
    for key, each in found.items():
        means = [np.mean([one[name] for one in each if name in one] or [np.nan]) for name in MEASURES]
        print(f"{key[0]:14}{key[1]:>6}{key[2]:>9}{len(each):>6}" + "".join(f"{mean:19.3f}" for mean in means))


if __name__ == "__main__":
    main()
