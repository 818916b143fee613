"""Data sets in: reading, checking, dividing, standardizing, label noise. Knows nothing of Jittor, HTTP or SQL."""

from hposvc.data import bundled
from hposvc.data.dataset import Dataset, Table, select
from hposvc.data.noise import PlantedNoise
from hposvc.data.prepare import Checked, Prepared, check, load, prepare, problems
from hposvc.data.problems import DataError, Problem
from hposvc.data.ranked import ranked
from hposvc.data.splits import Part, Scaling, Splits
from hposvc.data.uploaded import Upload

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
