"""Logging of the service's processes: structlog and the standard library in one stream, on standard error.

Lines carry what they are about: ``request_id`` within a request, ``job_id``, ``attempt`` and ``worker_id`` within an
attempt, ``trace_id`` and ``span_id`` where traces are recorded.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

from hposvc import tracing

# Without the values of local variables, which structlog and rich would add: a request's headers hold a key.
TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
Format = Literal["console", "json"]

bound = structlog.contextvars.bound_contextvars  # what every line says that is logged within the block


def configure(level: str, format_: Format) -> None:
    """Send every log line of this process to standard error, coloured on a terminal or as one JSON object a line."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _trace,
    ]
    renderers: list[structlog.typing.Processor] = (
        [TRACEBACKS, structlog.processors.JSONRenderer()]
        if format_ == "json"
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in ("httpx", "httpcore", "alembic", "dbos", "uvicorn.error"):  # their every step is no news
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))


def _trace(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The trace that a line belongs to, if there is one."""
    return {**event, **tracing.ids()}
