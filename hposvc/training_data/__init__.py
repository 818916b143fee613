"""Data sets in: reading, checking, dividing, standardizing, label noise. Knows nothing of Jittor, HTTP or SQL."""

from hposvc.tables.defects import DataError, Defect
from hposvc.training_data import bundled
from hposvc.training_data.dataset import Dataset, select
from hposvc.training_data.noise import PlantedNoise
from hposvc.training_data.prepare import Checked, Prepared, check, defects, load, prepare
from hposvc.training_data.ranked import ranked
from hposvc.training_data.splits import Part, Scaling, Splits
from hposvc.training_data.table import Table
from hposvc.training_data.uploaded import Upload

__all__ = [
    "Checked",
    "DataError",
    "Dataset",
    "Defect",
    "Part",
    "PlantedNoise",
    "Prepared",
    "Scaling",
    "Splits",
    "Table",
    "Upload",
    "bundled",
    "check",
    "defects",
    "load",
    "prepare",
    "ranked",
    "select",
]
