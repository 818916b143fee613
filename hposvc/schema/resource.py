"""The base of all models that the service returns."""

from __future__ import annotations

from pydantic import ConfigDict

from hposvc.schema.described import Described


class Resource(Described):
    """Base of everything that the service returns."""

    model_config = ConfigDict(frozen=True)
