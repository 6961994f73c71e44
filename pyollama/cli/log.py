"""The log of the server on the error output."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime

__all__ = ["log_to_stderr"]


class LineFormatter(logging.Formatter):
    """One line for each record: ``time=... level=INFO source=server.lifecycle:12 msg="listening on ..."``.

    A traceback follows on lines of its own.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its line feed."""
        time = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
        source = f"{record.module}:{record.lineno}"
        message = json.dumps(record.getMessage(), ensure_ascii=False)
        line = f"time={time} level={record.levelname} source={source} msg={message}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def log_to_stderr() -> None:
    """Send what pyollama logs to the error output, from level INFO on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    log = logging.getLogger("pyollama")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
