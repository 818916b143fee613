"""One process of the service, in this process: the API or a worker. The only place that knows the two deployables."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import structlog

from hposvc import logs, tracing
from hposvc.faults import Exit, Fault
from hposvc.files.durable import replacing
from hposvc.files.private import private_folder
from hposvc.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

SWITCH_SECONDS = 0.0005
# Objects made between two looks for garbage among the young, and such looks until one among the older, and all.
GARBAGE = (10_000, 10, 100)


def run_api(settings: Settings) -> None:
    """Serve HTTP until SIGINT or SIGTERM, and leave the address in ``settings.server_file`` meanwhile.

    Raises Fault: a port that is taken, a database URL that cannot be used, tables that are not those of this version,
    an address that others could reach without a key, a store that cannot work here.
    """
    from api import connections
    from api.app import UnsafeAddressError, create_app

    logs.configure(settings.log_level, settings.log_format)
    _keep_to_ourselves(settings)
    try:
        app = create_app(settings)
    except UnsafeAddressError as error:
        raise Fault(str(error), code=Exit.USAGE) from error
    _check_tables(settings)
    _check_store(settings)
    with listen(settings) as listener, _stopped_by_signals(), _traced("api"):
        config = connections.config(
            app,
            log_config=None,
            access_log=settings.log_level == "debug",  # an open page asks once a second
            timeout_graceful_shutdown=5,
        )
        url = _address(settings.host, listener.getsockname()[1])
        with _announced(settings.server_file, url):
            structlog.get_logger(__name__).info("the API listens", url=url)
            asyncio.run(_ask_for_health(app))
            # What is there by now stays. Looking through it for garbage made every 65th response wait for 90 ms.
            gc.collect()
            gc.freeze()
            # With thousands of connections a look through everything takes 150 ms, and at the usual thresholds there
            # were more than one in a second. What is in no circle goes without.
            gc.set_threshold(*GARBAGE)
            # The event loop takes its turn among threads that compute; at the usual 5 ms others waited twice as long.
            sys.setswitchinterval(SWITCH_SECONDS)
            connections.Server(config).run(sockets=[listener])


async def _ask_for_health(app: FastAPI) -> None:
    """Ask it once, before others do: at the first request FastAPI builds all routes, and nobody else is served."""
    import httpx

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", trust_env=False) as client:
        await client.get("/healthz")


def run_worker(settings: Settings) -> None:
    """Work off jobs until SIGINT or SIGTERM, or SIGUSR1 after the job under way. Raises Fault."""
    from workers import start

    logs.configure(settings.log_level, settings.log_format)
    _keep_to_ourselves(settings)
    _check_store(settings)
    with _traced("worker"):
        try:
            start.main(settings)
        except OSError as error:
            if settings.metrics_port is None or error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            remedy = "Choose another port with HPOSVC_METRICS_PORT (0 takes a free one)."
            raise Fault(f"cannot serve metrics on port {settings.metrics_port}: {error.strerror}", remedy) from error


def run_worker_per_gpu(settings: Settings, wanted: str, prepare: Callable[[str], None]) -> None:
    """A worker for each of the GPUs ``wanted``, ``all`` or numbers, until they end. Raises Fault.

    ``prepare(device)`` compiles Jittor, once, rather than all workers doing it at the same time.
    """
    from hposvc.machine import cuda, gpus
    from hposvc.machine.warmup import is_warm
    from workers.per_gpu import WorkerPerGpu

    logs.configure(settings.log_level, settings.log_format)
    try:
        found = gpus.choose(wanted)
    except ValueError as error:
        raise Fault(str(error), "`nvidia-smi` lists the GPUs.", code=Exit.USAGE) from error
    if not found:
        obstacle = cuda.driver_obstacle()
        message = obstacle.message if obstacle else "CUDA_VISIBLE_DEVICES hides every GPU"
        raise Fault(f"no GPU to work on: {message}", "`hposvc doctor` says what is missing.")
    if obstacles := cuda.obstacles():
        raise Fault("; ".join(obstacle.message for obstacle in obstacles), obstacles[0].remedy)
    if not is_warm(settings.device):
        prepare(settings.device)
    WorkerPerGpu(found, metrics_port=settings.metrics_port).run()


def _keep_to_ourselves(settings: Settings) -> None:
    """Let no other user of this machine read what this process writes. Raises Fault."""
    os.umask(0o077)
    try:
        private_folder(settings.data_dir)
    except OSError as error:
        remedy = "Choose another one with HPOSVC_DATA_DIR."
        raise Fault(f"the data directory cannot be used: {error}", remedy) from error


@contextlib.contextmanager
def _traced(service: Literal["api", "worker"]) -> Iterator[None]:
    try:
        stop = tracing.start(service)
    except tracing.MissingExtraError as error:
        raise Fault(str(error), code=Exit.USAGE) from error
    try:
        yield
    finally:
        stop()


def _check_tables(settings: Settings) -> None:
    """Raise Fault if the tables are not those of this version. A database that is away may still come: then serve."""
    from sqlalchemy.exc import OperationalError

    from hposvc.db import migrate

    try:
        migrate.check(settings.database_url)
    except OperationalError as error:
        structlog.get_logger(__name__).warning("the database does not answer", error=str(error.orig))


def _check_store(settings: Settings) -> None:
    """Raise Fault if the URL of the store cannot work on this machine. The store is not asked: it may come back."""
    from hposvc.storage.store import locate

    try:
        locate(settings.store_url)
    except (OSError, ImportError) as error:
        raise Fault(f"the artifact store cannot be used: {error}", "`hposvc doctor` says how to mend it.") from error


def listen(settings: Settings) -> socket.socket:
    """A socket that listens where the settings say. Raises Fault."""
    from api import connections

    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=connections.WAITING)
    except OSError as error:
        raise Fault(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}",
            "Choose another port with --port (0 takes a free one), or stop what listens there.",
        ) from error
    # Its connections inherit this. Without it the body of each response waits 40 ms for the receipt of its headers:
    # asyncio asks for it only on sockets that name their protocol, which those of create_server do not.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _address(host: str, port: int) -> str:
    """A URL that reaches the server from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound here
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def _announced(file: Path, url: str) -> Iterator[None]:
    """Leave the address where the commands look for it; take it away at the end unless another server wrote its own."""
    file.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"url": url, "pid": os.getpid()})
    with replacing(file) as stream:
        stream.write(content.encode())
    try:
        yield
    finally:
        if file.is_file() and file.read_text() == content:
            file.unlink()


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """At a signal, uvicorn stops and then raises it again, which would end the process before it has tidied up."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: None) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
