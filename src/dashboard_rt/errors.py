"""The error tree. An error that reaches a person carries a code and a sentence that says what to do.

DashboardError
  BadSetting            a variable of the environment cannot be used; ends the start
  Refused               a request cannot be served; carries the HTTP status
    Unauthorized        401
    Forbidden           403
    NotFound            404
      UnknownStream
    TooLarge            413
    InvalidUpdate       422
    TooManyRequests     429
    LogUnavailable      503, the publish is *not acknowledged*
"""

from __future__ import annotations


class DashboardError(Exception):
    """Root of what this package raises on purpose."""


class BadSetting(DashboardError):
    """A setting that cannot be used; the message is one sentence that names the variable."""


class Refused(DashboardError):
    """A request that cannot be served. `code` and `detail` become the JSON body of protocol §5."""

    status = 400
    code = "bad_request"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Unauthorized(Refused):
    """The token is missing or wrong."""

    status = 401
    code = "unauthorized"


class Forbidden(Refused):
    """Known, but not allowed here."""

    status = 403
    code = "forbidden"


class NotFound(Refused):
    """No such thing, or it is switched off."""

    status = 404
    code = "not_found"


class UnknownStream(NotFound):
    """A stream name that STREAMS does not list."""

    code = "unknown_stream"


class TooLarge(Refused):
    """A body above its limit."""

    status = 413
    code = "too_large"


class InvalidUpdate(Refused):
    """A body that is not JSON."""

    status = 422
    code = "invalid_json"


class TooManyRequests(Refused):
    """Come back later."""

    status = 429
    code = "too_many_requests"


class LogUnavailable(Refused):
    """The log could not be written or read in time: whether the update exists is open, retry with a key."""

    status = 503
    code = "log_unavailable"
