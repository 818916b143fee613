"""Data sets in: reading, checking, dividing, standardizing, label noise. Knows nothing of Jittor, HTTP or SQL."""

from hposvc.tables.problems import DataError, Problem
from hposvc.training_data import bundled
from hposvc.training_data.dataset import Dataset, Table, select
from hposvc.training_data.noise import PlantedNoise
from hposvc.training_data.prepare import Checked, Prepared, check, load, prepare, problems
from hposvc.training_data.ranked import ranked
from hposvc.training_data.splits import Part, Scaling, Splits
from hposvc.training_data.uploaded import Upload

__all__ = [
    "Checked",
    "DataError",
    "Dataset",
    "Part",
    "PlantedNoise",
    "Prepared",
    "Problem",
    "Scaling",
    "Splits",
    "Table",
    "Upload",
    "bundled",
    "check",
    "load",
    "prepare",
    "problems",
    "ranked",
    "select",
]
