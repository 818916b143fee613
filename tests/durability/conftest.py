"""Services with real workers, to be killed."""

from tests.workers.conftest import service

__all__ = ["service"]
