"""All rows of a finished job in one table: a person's own ids and columns beside what the job says about each row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hposvc.training_data.dataset import Dataset
from hposvc.training_data.splits import Splits
from hposvc.training_data.table import Array, Floats


def ranked(
    dataset: Dataset,
    splits: Splits,
    opinions: Mapping[str, Floats],
    weights: Floats | None = None,
    wrong: Mapping[str, Floats] | None = None,
    threshold: float = 0.5,
) -> pa.Table:
    """The rows by part, the training rows first: those whose label is most likely wrong on top, or of the least weight.

    ``opinions`` are the model's probabilities (m, k), or predictions (m, 1), by part; ``weights`` (n,) those of the
    training rows. The columns are ``row_id, part, rank, weight, label, predicted, probability`` (of what is
    predicted), ``label_probability`` (of the label), and then those of the data set, arrays excepted. ``wrong`` has the
    probability that the label is wrong, by part; it adds ``probability_wrong`` and ``suspect``, where it exceeds
    ``threshold``.
    """
    pieces = [
        _piece(dataset, splits, part, opinion, weights if part == "train" else None, (wrong or {}).get(part))
        for part, opinion in opinions.items()
    ]
    columns = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    order = columns.pop("row")
    empty = [
        name
        for name in ("weight", "probability", "label_probability", "probability_wrong")
        if np.isnan(columns[name]).all()
    ]
    rank = pa.array(columns.pop("rank"), from_pandas=True).cast(pa.int64())
    known = {name: pa.array(values, from_pandas=True) for name, values in columns.items() if name not in empty}
    if "probability_wrong" in known:
        known["suspect"] = pc.greater(known["probability_wrong"], threshold)
    table = pa.table({"row_id": known.pop("row_id"), "part": known.pop("part"), "rank": rank} | known)
    for name, values in _own(dataset).items():
        table = table.append_column(
            name if name not in table.column_names else f"column {name}", values.take(pa.array(order))
        )
    return table


def _piece(
    dataset: Dataset, splits: Splits, name: str, opinion: Floats, weights: Floats | None, wrong: Floats | None
) -> dict[str, Array]:
    part = getattr(splits, name)
    count = len(part)
    nothing = np.full(count, np.nan)
    if dataset.classes is None:
        scaling = splits.scaling
        label, predicted = (
            values * scaling.target_scale + scaling.target_mean for values in (part.targets, opinion[:, 0])
        )
        probability = label_probability = nothing
        doubt = -np.abs(label - predicted)
    else:
        classes = np.array(dataset.classes)
        best = opinion.argmax(1)
        label, predicted = classes[part.targets], classes[best]
        probability = opinion[np.arange(count), best]
        label_probability = doubt = opinion[np.arange(count), part.targets]
    by = (
        -wrong
        if wrong is not None
        else (doubt if weights is None else weights)
        if name == "train"
        else np.arange(count)
    )
    order = np.argsort(by, kind="stable")
    rank = np.arange(1, count + 1, dtype=float) if name == "train" or wrong is not None else nothing
    columns = {
        "row": part.rows,
        "row_id": dataset.row_ids[part.rows],
        "part": np.full(count, name),
        "weight": nothing if weights is None else weights,
        "probability_wrong": nothing if wrong is None else wrong,
        "label": label,
        "predicted": predicted,
        "probability": probability,
        "label_probability": label_probability,
    }
    return {"row": columns["row"][order], "rank": rank} | {
        column: values[order] for column, values in columns.items() if column != "row"
    }


def _own(dataset: Dataset) -> dict[str, pa.Array | pa.ChunkedArray]:
    source = dataset.source
    if source is None:
        return {name: pa.array(dataset.features[:, i]) for i, name in enumerate(dataset.feature_names)}
    return {name: source.columns[name] for name in source.columns if name not in source.arrays}
