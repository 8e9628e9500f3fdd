"""Log lines: one for each transition of an object, as text or JSON, and quiet libraries."""

import json
import logging
import sys
from datetime import UTC, datetime

from flow_operator.shell.config import LogFormat

_HARMLESS = "OS signals are ignored"
"""What kopf warns of when it runs in a thread, as it is meant to."""


def set_up_logging(level: str, log_format: LogFormat) -> None:
    """Send the operator's log lines to standard error; libraries only speak up to warn."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    handler.addFilter(_calm)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("flow_operator").setLevel(level.upper())


def _calm(record: logging.LogRecord) -> bool:
    """Leave out kopf's harmless warning, and the tracebacks of its errors: they say no more."""
    if record.name.startswith("kopf"):
        record.exc_info = None
        return not record.getMessage().startswith(_HARMLESS)
    return True


def _time(record: logging.LogRecord) -> str:
    time = datetime.fromtimestamp(record.created, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = f"{_time(record)} {record.levelname:<7} {record.getMessage()}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
