"""What may stop a request about an experiment."""

from __future__ import annotations

from hposvc.copyable import Copyable


class ExperimentNotFound(Copyable, LookupError):
    """There is no such experiment (of this tenant)."""

    def __init__(self, experiment_id: str) -> None:
        super().__init__(f"there is no experiment {experiment_id}")


class ExperimentConflict(Copyable, Exception):
    """The state of the experiment does not allow the request. Carries ``state``."""

    def __init__(self, experiment_id: str, state: str, what: str, remedy: str) -> None:
        self.state = state
        super().__init__(f"cannot {what} experiment {experiment_id}: it is {state}; {remedy}")


class ExperimentChanged(Copyable, Exception):
    """The experiment is no longer as the caller last saw it. Carries ``version``, its present one."""

    def __init__(self, experiment_id: str, version: int) -> None:
        self.version = version
        super().__init__(f"experiment {experiment_id} changed in between: it is at version {version} now")


class KeyReused(Copyable, Exception):
    """The idempotency key was used before, for a different experiment."""

    def __init__(self, key: str, experiment_id: str) -> None:
        super().__init__(
            f"the idempotency key {key!r} belongs to experiment {experiment_id}, whose spec is different; use a new key"
        )
