"""The tables and the picture of the page ``quality``, from the cells that are done: runs in the rivals' environment.

python report.py KEPT.jsonl [DOCS_FOLDER]
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

MEASURES = {"area": "area", "f1": "F1", "accuracy": "accuracy"}
OURS = "hposvc"
SHARES = ("10 rows", "1 %", "5 %", "20 %")


def frame(cells: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A row for every cell and method."""
    rows = []
    for number, each in enumerate(cells):
        for method, found in {OURS: each["ours"], **each["rivals"]}.items():
            rows.append({"number": number, **each["cell"], "method": method, **found})
    return pd.DataFrame(rows)


def compared(found: pd.DataFrame, by: Sequence[str], measures: dict[str, str] = MEASURES) -> Iterator[str]:
    """A Markdown table: for each value of ``by``, hposvc beside the rival that is best on average there."""
    heads = [f"{title}: {side}" for title in measures.values() for side in ("hposvc", "best rival")]
    yield f"| {' | '.join(by)} | cells | {' | '.join(heads)} |"
    yield f"|{'---|' * (len(by) + 1 + len(heads))}"
    groups = [*found.groupby(list(by), sort=False), (("all",) + ("",) * (len(by) - 1), found)]
    for values, rows in groups:
        named = " | ".join(_value(name, value) for name, value in zip(by, values, strict=True))
        cells = rows.number.nunique()
        yield f"| {named} | {cells} | " + " | ".join(_side_by_side(rows, measure) for measure in measures) + " |"


def _value(name: str, value: Any) -> str:
    return f"{value:.0%}" if name == "rate" and value not in ("all", "") else str(value)


def _side_by_side(rows: pd.DataFrame, measure: str) -> str:
    """Means over cells that every method was run on, with the spread of the mean over seeds where there are several."""
    wide = rows.pivot_table(index=["seed", "number"], columns="method", values=measure)
    if OURS not in wide or wide[OURS].isna().all():
        return "– | –"
    means = wide.dropna(axis=1, thresh=int(0.95 * wide[OURS].notna().sum())).mean()
    rivals = means.drop(OURS)
    best = rivals.idxmax()
    seeds = wide[OURS].groupby("seed").mean()
    spread = f" ± {seeds.std():.3f}" if len(seeds) > 1 else ""
    ahead = means[OURS] >= rivals[best]
    ours, other = f"{means[OURS]:.3f}", f"{rivals[best]:.3f} {best}"
    return f"**{ours}**{spread} | {other}" if ahead else f"{ours}{spread} | {other}"


def everything(found: pd.DataFrame) -> Iterator[str]:
    """A Markdown table of every method's means over the cells where it was run."""
    columns = {
        "area": "area",
        "average_precision": "average precision",
        "f1": "F1",
        "first_20": "first 20",
        "first_100": "first 100",
        "accuracy": "accuracy",
        "loss": "loss",
        "seconds": "seconds (median)",
    }
    yield f"| method | cells | {' | '.join(columns.values())} |"
    yield f"|{'---|' * (len(columns) + 2)}"
    for method, rows in found.groupby("method", sort=False):
        means = [rows[name].median() if name == "seconds" else rows[name].mean() for name in columns]
        yield f"| {method} | {len(rows)} | {' | '.join(f'{mean:.3f}' for mean in means)} |"


def labels(cells: Sequence[dict[str, Any]]) -> Iterator[str]:
    """All about wrong rows."""
    found = frame(cells)
    linear = found[found.model == "linear"]
    usual = linear[(linear.noise == "uniform") & (linear.rate == 0.2)]
    known, nobody = linear[linear.trusted == "5 %"], linear[linear.trusted == "unknown"]
    uniform = known[known.noise == "uniform"]
    sections: dict[str, Callable[[], Iterator[str]]] = {
        "By how many labels are wrong (any other class; 5 % of the rows trusted)": lambda: compared(
            uniform[uniform.rate > 0].sort_values("rate"), ["rate"]
        ),
        "By the kind of wrong labels (20 %; 5 % of the rows trusted)": lambda: compared(
            known[known.rate == 0.2], ["noise"]
        ),
        "By how many rows are trusted (20 % wrong, any other class)": lambda: compared(
            pd.concat([usual[usual.trusted == share] for share in ("unknown", *SHARES)]), ["trusted"]
        ),
        "Nobody knows which rows to trust": lambda: compared(nobody[nobody.rate > 0], ["noise", "rate"]),
        "By model (20 % wrong, any other class)": lambda: compared(
            found[
                (found.noise == "uniform") & (found.rate == 0.2) & found.trusted.isin(["unknown", "5 %"])
            ].sort_values("model"),
            ["model", "trusted"],
        ),
        "By table": lambda: compared(found[found.rate > 0].sort_values("table"), ["table"]),
        "Every method, where some rows are trusted": lambda: everything(
            found[(found.trusted != "unknown") & (found.rate > 0)]
        ),
        "Every method, where nobody knows which rows to trust": lambda: everything(
            found[(found.trusted == "unknown") & (found.rate > 0)]
        ),
    }
    for title, section in sections.items():
        yield f"### {title}\n"
        yield from section()
        yield ""
    yield from _claims(found)
    yield from _ablation(cells)


def _claims(found: pd.DataFrame) -> Iterator[str]:
    ours = found[found.method == OURS]
    yield "### What is claimed\n"
    yield "| trusted | calibration error | interval holds the number | flagged, none wrong: mean | most | cleanlab |"
    yield "|---|---|---|---|---|---|"
    for title, rows, rivals in (
        ("some rows", ours[ours.trusted != "unknown"], found[found.trusted != "unknown"]),
        ("nobody knows", ours[ours.trusted == "unknown"], found[found.trusted == "unknown"]),
    ):
        clean = rows[rows.rate == 0].flagged
        cleanlab = rivals[(rivals.method == "cleanlab") & (rivals.rate == 0)].flagged.mean()
        yield (
            f"| {title} | {rows.calibration_error.mean():.3f} | {rows.held.mean():.0%} | {clean.mean():.1%} | "
            f"{clean.max():.1%} | {cleanlab:.1%} |"
        )
    yield ""


def _ablation(cells: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What tuning adds to where it starts: the analysis alone is the candidate ``corrected``.

    The tuned λ has a candidate of its own where another one is handed over as ``tuned``.
    """
    rows = [
        {
            "per": each["ours"]["per"],
            "start": models["corrected"],
            "tuned": models.get("tuned_lambda", models["tuned"]),
        }
        for each in cells
        if each["cell"]["trusted"] != "unknown" and {"corrected", "tuned"} <= set(models := each["ours"]["models"])
    ]
    yield "### What the hypergradient adds to the analysis of the labels\n"
    yield "| kind of λ | cells | accuracy: analysis alone | tuned | test loss: analysis alone | tuned |"
    yield "|---|---|---|---|---|---|"
    for per in sorted({row["per"] for row in rows}):
        of = [row for row in rows if row["per"] == per]
        start = [sum(row["start"][i] for row in of) / len(of) for i in range(2)]
        tuned = [sum(row["tuned"][i] for row in of) / len(of) for i in range(2)]
        yield f"| `{per}` | {len(of)} | {start[0]:.3f} | {tuned[0]:.3f} | {start[1]:.3f} | {tuned[1]:.3f} |"
    yield ""


def strengths(cells: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Test losses with and without columns of noise."""
    for columns, title in ((0, "without columns of noise"), (100, "with 100 columns of noise")):
        rows = [each for each in cells if each["cell"]["noise_columns"] == columns]
        if not rows:
            continue
        yield f"### Test loss, {title}\n"
        yield "| table | hposvc | best rival | | hposvc / best | hposvc / RidgeCV | Optuna / hposvc | seconds |"
        yield "|---|---|---|---|---|---|---|---|"
        ratios = []
        for table in dict.fromkeys(each["cell"]["table"] for each in rows):
            of = [each for each in rows if each["cell"]["table"] == table]
            ours = _mean([each["ours"]["loss"] for each in of])
            rivals = {name: _mean([each["rivals"][name]["loss"] for each in of]) for name in of[0]["rivals"]}
            tpe = next((rivals.pop(name) for name in list(rivals) if name.startswith("Optuna")), None)
            best = min(rivals, key=lambda name: rivals[name])
            ratios.append(ours / rivals[best])
            ridge = f"{ours / rivals['RidgeCV']:.3f}" if "RidgeCV" in rivals else "–"
            searched = "–" if tpe is None else f"{tpe / ours:.3f}"
            seconds = _mean([each["ours"]["seconds"] for each in of])
            yield (
                f"| {table} | {ours:.4f} | {rivals[best]:.4f} | {best} | {ratios[-1]:.3f} | {ridge} | {searched} | "
                f"{seconds:.1f} |"
            )
        yield f"| mean | | | | {_mean(ratios):.3f} | | | |"
        yield ""


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def pictures(cells: Sequence[dict[str, Any]], folder: Path) -> None:
    """Quality against the share of trusted rows and the noise rate, and the reliability curve."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    found = frame(cells)
    found = found[(found.model == "linear") & (found.noise == "uniform")]
    shown = (OURS, "cleanlab", "cleanlab, trusted rows too", "trusted model", "noise matrix (GLC)")
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), constrained_layout=True)
    by_share = found[found.rate == 0.2].pivot_table(index="trusted", columns="method", values="area")
    by_rate = found[(found.trusted == "5 %") & (found.rate > 0)].pivot_table(
        index="rate", columns="method", values="area"
    )
    for method in shown:
        style = {"marker": "o", "linewidth": 2.5 if method == OURS else 1.2, "label": method}
        if method in by_share:
            axes[0].plot(
                [share for share in ("unknown", *SHARES) if share in by_share.index],
                by_share[method].reindex([share for share in ("unknown", *SHARES) if share in by_share.index]),
                **style,
            )
        if method in by_rate:
            axes[1].plot(by_rate.index, by_rate[method], **style)
    axes[0].set(xlabel="trusted rows (20 % wrong)", ylabel="area under the ROC curve")
    axes[1].set(xlabel="share of wrong labels (5 % trusted)", ylabel="area under the ROC curve")
    axes[1].legend(fontsize=8)
    bins: dict[float, list[tuple[float, float, float]]] = {}
    for each in cells:
        for share, said, true in each["ours"]["calibration"]:
            bins.setdefault(round(said * 15), []).append((share, said, true))
    curve = [
        (sum(s * p for s, p, _ in of) / total, sum(s * t for s, _, t in of) / total)
        for _, of in sorted(bins.items())
        if (total := sum(s for s, _, _ in of))
    ]
    axes[2].plot([0, 1], [0, 1], color="grey", linewidth=1)
    axes[2].plot(*zip(*curve, strict=True), marker="o", linewidth=2.5)
    axes[2].set(xlabel="probability_wrong", ylabel="share that is wrong")
    figure.savefig(folder / "quality.png", dpi=110)


def page(cells: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The whole page."""
    of_labels = [each for each in cells if each["question"] == "labels"]
    of_strengths = [each for each in cells if each["question"] == "strengths"]
    yield "# How good the results are\n"
    yield INTRODUCTION.format(
        date=datetime.now(UTC).date(),
        machine=f"{platform.machine()}, Linux, no GPU",
        labels=len(of_labels),
        tables=len({each["cell"]["table"] for each in of_labels}),
        seeds=len({each["cell"]["seed"] for each in of_labels}),
    )
    yield "## Wrong labels\n"
    yield "![Area by trusted rows and by noise rate, and the reliability curve](images/quality.png)\n"
    yield from labels(of_labels)
    yield WHY
    if of_strengths:
        yield "## Strengths of a penalty\n"
        yield STRENGTHS.format(seeds=len({each["cell"]["seed"] for each in of_strengths}))
        yield from strengths(of_strengths)


INTRODUCTION = """Written by `python -m benchmarks.answers --write` on {date} ({machine}): {labels} cells over
{tables} real tables, seeds: {seeds}. Do not edit it by hand.

Each cell takes a real table, makes some of its labels wrong, and says which rows are trusted. The file is sent and
read like an upload; a job with default settings runs on it. The rivals get the arrays that the job learned from. Their
model is logistic regression (or a network of one hidden layer), its penalty chosen by cross-validation on the labels
as given. 30 % of the rows only score; their labels are right.

- **area**: under the ROC curve of the ranking, wrong rows against right ones. **F1**: of the rows that are marked as
  suspects. **accuracy**: of the model that is handed over, on the test rows.
- **bold**: hposvc is at least as good as the rival that is best there on average. ±: the standard deviation of the
  mean from seed to seed.
"""

WHY = """### Where it is behind, and why

- **F1 where nobody knows which rows to trust, or the model fits badly.** A wrong label and a difficult row look alike
  to a model. A rival that flags every row whose label it would not have predicted finds more of the wrong rows, and
  flags as many rows where no label is wrong. hposvc flags what is likelier wrong than difficult, by the likelihood of
  all labels, or by the trusted rows. Look at the column "flagged, none wrong" beside F1.
- **Boundary.** These labels are wrong exactly where rows are difficult. Only trusted rows tell the difference, and few
  of them lie near a boundary.
- **Annotator.** The noise matrix is the same for all rows, and here it is not.
- **60 %, and 40 % with two classes and few trusted rows.** More labels of a class can be wrong than right. If the
  trusted rows do not say so beyond chance, no noise is claimed.
"""

STRENGTHS = """A default job of the kind `regularization_tuning`: squared error of standardized labels, or log loss of
classes. Optuna's TPE searches a strength for every feature for as long as the job took. Means over seeds: {seeds}.
"""


def main() -> None:
    """Print the page, or write it with its pictures into the folder of the documentation."""
    source, *folder = sys.argv[1:]
    cells = [json.loads(line) for line in Path(source).read_text().splitlines()]
    text = "\n".join(page(cells)).rstrip() + "\n"
    if not folder:
        print(text)
        return
    docs = Path(folder[0])
    pictures([each for each in cells if each["question"] == "labels"], docs / "images")
    (docs / "quality.md").write_text(text)


if __name__ == "__main__":
    main()
