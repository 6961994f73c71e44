"""Which HTTP status and text an exception becomes."""

from __future__ import annotations

from pyollama import errors

__all__ = ["CLIENT_CLOSED_REQUEST", "ApiError", "http_error"]

CLIENT_CLOSED_REQUEST = 499  # nginx's number for it, which the reference uses

# The first class that fits decides.
STATUS: tuple[tuple[type[Exception], int], ...] = (
    (errors.InvalidRequest, 400),
    (errors.InvalidDigest, 400),
    (errors.Unsupported, 400),
    (errors.InvalidModelFile, 400),
    (errors.ModelNotFound, 404),
    (errors.ServerBusy, 503),
    (errors.Closed, 503),
    (errors.Cancelled, CLIENT_CLOSED_REQUEST),
)


class ApiError(errors.Error):
    """An answer with a status of its own.

    Args:
        status: HTTP status.
        message: What is wrong.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def http_error(error: Exception) -> tuple[int, str]:
    """Status and message for an exception; 500 for what nobody expected.

    Example::

        http_error(OptionError("..."))   # 400, "..."
    """
    if isinstance(error, ApiError):
        return error.status, str(error)
    for kind, status in STATUS:
        if isinstance(error, kind):
            return status, str(error)
    return 500, str(error) or type(error).__name__
