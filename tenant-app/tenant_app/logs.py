"""JSON lines on standard error. Records carry what happened, never what is in a document, never a secret."""

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime

from typing_extensions import override

request_id: ContextVar[str] = ContextVar("request_id", default="")


class JsonLines(logging.Formatter):
    """One object a line: at, level, logger, message, request, and the traceback when there is one."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request := request_id.get():
            line["request"] = request
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(level: int = logging.INFO) -> None:
    """Send every logger's records to standard error as JSON lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # httpx logs each request's URL at INFO; a chain's every delivery is not news.
    logging.getLogger("httpx").setLevel(logging.WARNING)
