"""Files of rows, as people have them: read in pieces, typed, described, and turned into numbers for a model.

Knows NumPy and Arrow only, so that it starts in half a second, in the process that reads what strangers sent as in the
client that predicts.
"""

from hposvc.tables.defects import DataError, Defect
from hposvc.tables.encoding import Encoding, fit
from hposvc.tables.kinds import Kind

__all__ = ["DataError", "Defect", "Encoding", "Kind", "fit"]
