"""The files of a finished job: λ by name, the rows, the model."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors.numpy import save

from hposvc import snapshots, training_data
from hposvc.bilevel import NoiseMatrixProblem, RegularizationProblem, ReweightingProblem, predict
from hposvc.bilevel.arrays import Arrays
from hposvc.run.evaluation import LISTED, Names
from hposvc.run.labelling import Labelling, noise_names
from hposvc.schema.result import GroupWeight, Strength
from hposvc.schema.spec import JobSpec

Floats = NDArray[np.float64]
SMALLEST_GROUP, LARGEST_GROUP = 4096, 16_384  # rows
ROWS_FOR_A_COLUMN = 100  # of a wide table: its footer, which is read each time, has a part for each column of a group
Problem = ReweightingProblem | RegularizationProblem | NoiseMatrixProblem


class HyperparameterTable:
    """λ by name: what each entry is about, in the order of its elements."""

    def __init__(
        self,
        problem: Problem,
        dataset: training_data.Dataset,
        splits: training_data.Splits,
        names: Names,
        labelling: Labelling | None,
    ) -> None:
        self._problem = problem
        self._dataset = dataset
        self._splits = splits
        self._names = names
        self._labelling = labelling

    def at(self, lam: Arrays) -> pa.Table:
        """A row for every entry of λ; what it is about stands in the first column."""
        if isinstance(self._problem, ReweightingProblem):
            return self._weights(lam, self._problem)
        if isinstance(self._problem, NoiseMatrixProblem):
            return self._noise(lam, self._problem)
        return self._strengths(lam, self._problem)

    def entries(self) -> dict[str, pa.Array]:
        """What each entry of λ is about, by column: its ``name``, and what else is known of it."""
        table = self.at(self._problem.initial_lambda())
        return {
            "name" if position == 0 else column: table[column]
            for position, column in enumerate(table.column_names)
            if column not in {"lambda", "weight", "strength"}
        }

    def groups(self) -> list[snapshots.Group]:
        """The arrays of λ by name."""
        problem = self._problem
        sizes = [array.size for array in problem.initial_lambda()]
        if isinstance(problem, NoiseMatrixProblem):
            names = ["noise matrix"]
        elif isinstance(problem, ReweightingProblem):
            opinions = self._labelling is not None and problem.per == "group"
            names = ["opinions" if opinions else {"row": "rows", "class": "classes", "group": "groups"}[problem.per]]
        else:
            arrays = len(sizes) // len(problem.parts)
            kinds = {"feature": ["features", "later layers"], "parameter": [f"layer {i}" for i in range(arrays)]}
            known = kinds.get(problem.per, ["layers" if problem.per == "layer" else "model"])[:arrays]
            names = [
                f"{part} of {name}" if len(problem.parts) > 1 else name for part in problem.parts for name in known
            ]
        return [snapshots.Group(name, size) for name, size in zip(names, sizes, strict=True)]

    def _weights(self, lam: Arrays, problem: ReweightingProblem) -> pa.Table:
        if problem.per != "row":
            rows = np.bincount(problem.groups, minlength=len(lam[0]))
            column = "opinion" if self._labelling is not None else problem.per
            return pa.table(
                {column: self._group_names(problem), "rows": rows, "lambda": lam[0], "weight": _logistic(lam[0])}
            )
        train = len(self._splits.train)
        ids, labels = self._names.row_ids[:train], self._names.labels[:train]
        return pa.table({"row_id": ids, "label": labels, "lambda": lam[0], "weight": problem.row_weights(lam)})

    def _group_names(self, problem: ReweightingProblem) -> list[str]:
        """The classes or groups that have training rows, in the order of λ."""
        if self._labelling is not None:
            return self._labelling.cells[1]
        if problem.per == "class":
            return list(self._dataset.classes or ())
        groups = self._dataset.groups
        present = [] if groups is None else np.unique(groups[self._splits.train.rows])
        return [self._dataset.group_names[group] for group in present]

    def _noise(self, lam: Arrays, problem: NoiseMatrixProblem) -> pa.Table:
        names = noise_names(problem, self._dataset.classes or ())
        given = np.bincount(problem.train[1], minlength=problem.n_outputs)
        rows = [int(given[label]) for _, label in problem.pairs]
        return pa.table({"noise_matrix": names, "rows": rows, "lambda": lam[0], "weight": _logistic(lam[0])})

    def _strengths(self, lam: Arrays, problem: RegularizationProblem) -> pa.Table:
        names = [name for group in problem.names(self._dataset.feature_names) for name in group]
        flat = np.concatenate([array.ravel() for array in lam])
        penalties = np.repeat(problem.parts, len(names))
        return pa.table(
            {"feature": names * len(problem.parts), "penalty": penalties, "lambda": flat, "strength": np.exp(flat)}
        )


def rows_table(
    problem: Problem,
    dataset: training_data.Dataset,
    splits: training_data.Splits,
    w: Arrays,
    weights: Floats | None,
    labelling: Labelling | None,
) -> pa.Table:
    """Every row with its weight, what the handed-over model says of it, and how likely its label is wrong."""
    parts = {name: getattr(splits, name) for name in ("train", "validation", "selection", "test")}
    opinions = {
        name: predict(problem.model, w, part.features, problem.dtype)
        for name, part in parts.items()
        if part is not None
    }
    if labelling is None:
        return training_data.ranked(dataset, splits, opinions, weights)
    found = labelling.found
    analysed = labelling.numeric.opinion[:, None] if dataset.classes is None else labelling.analysis.opinion
    ends = np.cumsum([0] + [len(part) for part in parts.values() if part is not None])
    wrong: dict[str, Floats] = {}
    for name, start, end in zip(opinions, ends[:-1], ends[1:], strict=True):
        if end <= len(found.probability_wrong) and (name == "train" or labelling.trusts_nobody):
            wrong[name] = found.probability_wrong[start:end]
            opinions[name] = analysed[start:end]
    return training_data.ranked(dataset, splits, opinions, weights, wrong, found.threshold)


def model_file(spec: JobSpec, dataset: training_data.Dataset, splits: training_data.Splits, w: Arrays) -> bytes:
    """The handed-over model with all that predicting from raw columns takes: see ``hposvc.prediction``."""
    scaling = splits.scaling
    arrays = {f"{'weight' if i % 2 == 0 else 'bias'}.{i // 2}": np.ascontiguousarray(a) for i, a in enumerate(w)}
    arrays |= {"scaling.mean": scaling.mean, "scaling.scale": scaling.scale}
    arrays |= {} if dataset.encoding is None else dataset.encoding.arrays()
    description = {
        "model": spec.model.model_dump(),
        "image_shape": dataset.image_shape,
        "task": dataset.task,
        "features": dataset.feature_names,
        "encoding": None if dataset.encoding is None else dataset.encoding.as_dict(),
        "label": dataset.target_name,
        "label_kind": dataset.label_kind,
        "reading": dict(dataset.reading or {}),
        "id_column": dataset.id_name,
        "dtype": spec.solver.dtype,
        "classes": dataset.classes,
        "target": {"mean": scaling.target_mean, "scale": scaling.target_scale},
    }
    # One entry, because safetensors writes several in any order.
    return bytes(save(arrays, metadata={"description": json.dumps(description)}))


def listed(table: pa.Table) -> list[GroupWeight]:
    """The groups of the smallest weights, or the largest shares of a noise matrix, at most ``LISTED``."""
    order = "descending" if "noise_matrix" in table.column_names else "ascending"
    ranked = table.rename_columns(["name", "rows", "lam", "weight"]).sort_by([("weight", order)])
    return [GroupWeight(**row) for row in ranked.slice(0, LISTED).to_pylist()]


def strongest(table: pa.Table, penalties: Sequence[str]) -> list[Strength]:
    """The strongest of each penalty, since strengths of different penalties do not compare."""
    found: list[dict[str, Any]] = []
    for penalty in penalties:
        rows = [row for row in table.to_pylist() if row["penalty"] == penalty]
        rows.sort(key=lambda row: -row["lambda"])
        found += rows[: LISTED // len(penalties)]
    return [
        Strength(name=row["feature"], penalty=row["penalty"], lam=row["lambda"], strength=row["strength"])
        for row in found
    ]


def parquet(table: pa.Table) -> bytes:
    """``table`` as a Parquet file, in groups of rows of which a reader may leave out some; wide tables have larger."""
    buffer = io.BytesIO()
    rows = min(LARGEST_GROUP, max(SMALLEST_GROUP, ROWS_FOR_A_COLUMN * table.num_columns))
    pq.write_table(table, buffer, row_group_size=rows)
    return buffer.getvalue()


def _logistic(lam: Floats) -> Floats:
    weights: Floats = 0.5 * (1 + np.tanh(lam / 2))
    return weights
