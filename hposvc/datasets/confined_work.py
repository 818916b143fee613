"""Work on what strangers sent, in a process of its own: how it is asked for, and how its failures become errors here.

``ask`` has ``module.respond`` called, which returns the ``outcome`` of what it does.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple

from hposvc import confined
from hposvc.confined import Bounds
from hposvc.storage.environment import of_store
from hposvc.storage.store import StoreError
from hposvc.tables.defects import DataError, Defect

BOUNDS = Bounds(seconds=120, memory=4 * 2**30)


class Wording(NamedTuple):
    """How a refusal says it: the field, what takes too much, and what to do about that or about a crash."""

    field: str
    doing: str
    remedy: str
    after_crash: str


def ask(
    module: str, command: dict[str, Any], store_url: str | None, bounds: Bounds, wording: Wording
) -> dict[str, Any]:
    """What ``module.respond`` makes of ``command``, with the keys of the store at ``store_url``.

    Raises DataError: also when that takes too much time or memory; FileNotFoundError, StoreError.
    """
    variables = {} if store_url is None else of_store(store_url, os.environ)
    field, doing, remedy, after_crash = wording
    try:
        answer: dict[str, Any] = confined.call(module, command, bounds, variables)
    except confined.TooSlowError:
        raise DataError([Defect(field, f"{doing} it took more than {bounds.seconds} s", remedy)]) from None
    except confined.TooLargeError:
        message = f"{doing} it takes more than {bounds.memory // 2**30} GiB of memory"
        raise DataError([Defect(field, message, remedy)]) from None
    except confined.CrashedError as error:
        message = f"reading it crashed the reader (status {error.status})"
        raise DataError([Defect(field, message, after_crash)]) from None
    if "defects" in answer:
        raise DataError(Defect(**defect) for defect in answer["defects"])
    if "gone" in answer:
        raise FileNotFoundError(answer["gone"])
    if "store" in answer:
        raise StoreError(answer["store"])
    return answer


def outcome(act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What ``act`` returns, or why it cannot, for ``ask`` to raise there."""
    try:
        return act()
    except DataError as error:
        return {"defects": [asdict(defect) for defect in error.defects]}
    except FileNotFoundError as error:
        return {"gone": str(error)}
    except OSError as error:
        return {"store": str(error)}
