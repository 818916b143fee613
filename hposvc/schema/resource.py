"""The base of all models that the service returns."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Resource(BaseModel):
    """Base of everything that the service answers."""

    model_config = ConfigDict(frozen=True)
