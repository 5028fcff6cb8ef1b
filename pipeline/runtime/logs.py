"""Logging: lines on stderr. Ids only: no address, no subject, no body, no password."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from pipeline.runtime.printable import printable

log = structlog.stdlib.get_logger("slowpost")


def configure(*, json: bool = not sys.stderr.isatty(), level: int = logging.INFO) -> None:
    """Send events to stderr: JSON for programs, readable lines on a terminal. Other libraries' warnings go the same
    way.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                *([] if json else [_harmless]),
                renderer,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("slowpost").setLevel(level)


def _harmless(_logger: Any, _name: str, event: Any) -> Any:
    """What a person reads on a terminal obeys nobody; JSON is ASCII anyway."""
    return {printable(key): value if _is_plain(value) else printable(str(value)) for key, value in event.items()}


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float)
