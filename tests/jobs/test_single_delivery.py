"""What ``hposvc.jobs.single_delivery`` assumes of the installed version of DBOS."""

from __future__ import annotations

import inspect
import re
from typing import Any, get_args, get_origin

from dbos import _queue, _sys_db
from dbos._core import ActiveWorkflowById
from dbos._sys_db import SystemDatabase

from hposvc.jobs.single_delivery import CLAIM_METHOD, COUNT_METHOD, ENOUGH, POLL_METHOD


def parameters(method: str) -> list[str]:
    return list(inspect.signature(getattr(SystemDatabase, method)).parameters)


def returned(method: str) -> Any:
    return inspect.signature(getattr(SystemDatabase, method)).return_annotation


def test_the_methods_take_what_they_took() -> None:
    assert parameters(CLAIM_METHOD) == [
        "self",
        "queue",
        "executor_id",
        "app_version",
        "queue_partition_key",
        "local_running_count",
        "partition_local_running_count",
        "owner_xid",
        "is_latest_version",
    ]
    assert parameters(POLL_METHOD) == ["self", "queue_name"]


def test_the_methods_return_what_they_returned() -> None:
    """Ids and the reason why no more were taken, of which ours is one; and the scopes of a queue."""
    ids, reason = get_args(returned(CLAIM_METHOD))
    assert (get_origin(ids), get_args(ids)) == (list, (str,))
    assert set(get_args(reason)) == {_sys_db.DequeueStopReason, type(None)}
    assert ENOUGH in get_args(_sys_db.DequeueStopReason)
    assert get_origin(returned(POLL_METHOD)) is list


def test_the_thread_of_a_queue_takes_deliveries_by_these_methods_only() -> None:
    """The other way, a batch over partitions, is for queues with ``partition_concurrency``, which ours have not."""
    called = set(re.findall(r"_sys_db\.(\w+)\(", inspect.getsource(_queue.queue_worker_thread)))
    taking = {name for name in called if name.startswith("start_")}
    assert taking == {CLAIM_METHOD, "start_queued_partitioned_workflows"}
    assert POLL_METHOD in called


def test_a_delivery_counts_until_dbos_has_noted_its_end() -> None:
    """What is waited for before the queue is looked at again: it takes nothing while it counts the one before."""
    source = inspect.getsource(_queue.queue_worker_thread)
    assert f"dbos._active_workflows_set.{COUNT_METHOD}(queue.name)" in source
    assert list(inspect.signature(getattr(ActiveWorkflowById, COUNT_METHOD)).parameters) == ["self", "queue_name"]
