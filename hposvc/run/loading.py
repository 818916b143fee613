"""The run of a spec, whatever its kind."""

from __future__ import annotations

from collections.abc import Mapping

from hposvc import training_data
from hposvc.run.own import OwnRun
from hposvc.run.run import Run
from hposvc.schema.spec import JobSpec


def load(
    spec: JobSpec, checkpoint: bytes | None = None, *, uploads: Mapping[str, training_data.Upload] | None = None
) -> Run | OwnRun:
    """A run of ``spec``, from ``checkpoint`` if there is one. Raises what :class:`Run` and :class:`OwnRun` raise."""
    return Run(spec, checkpoint, uploads=uploads) if spec.problem is None else OwnRun(spec, checkpoint)
