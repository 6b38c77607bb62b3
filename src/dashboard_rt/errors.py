"""The error tree. An error that reaches a person carries a code and a sentence that says what to do.

DashboardError
  BadSetting            a variable of the environment cannot be used; ends the start
  LeaseLost             another process has taken a lease over; nothing was written under it
  Refused               a request cannot be served; carries the HTTP status
    Unauthorized        401
      BadTicket
    Forbidden           403
      HttpsRequired
    NotFound            404
      UnknownStream
    TooLarge            413
    UnsupportedBody     415
    Misdirected         421
    InvalidUpdate       422
    TooManyRequests     429
    LogUnavailable      503, the publish is *not acknowledged*
    NotStarted          503
"""

from __future__ import annotations


class DashboardError(Exception):
    """Root of what this package raises on purpose."""


class BadSetting(DashboardError):
    """A setting that cannot be used. The message is one sentence that names the variable."""


class LeaseLost(DashboardError):
    """A lease that `holder` does not have any more."""

    def __init__(self, lease: str, holder: str) -> None:
        super().__init__(f"Another process holds the lease {lease!r} now.")
        self.holder = holder


class Refused(DashboardError):
    """A request that cannot be served. `code` and `detail` become the JSON body of docs/protocol.md §5."""

    status = 400
    code = "bad_request"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Unauthorized(Refused):
    """A token that is missing or wrong."""

    status = 401
    code = "unauthorized"


class BadTicket(Unauthorized):
    """A ticket that is missing or opens nothing. `reason` is a label of the `ticket_refusals` counter."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Forbidden(Refused):
    """A request that is not allowed from where it comes, such as a trigger from a page of another host."""

    status = 403
    code = "forbidden"


class HttpsRequired(Forbidden):
    """A request over plain HTTP that is not sent on to https."""

    code = "https_required"


class NotFound(Refused):
    """A thing that does not exist or is switched off."""

    status = 404
    code = "not_found"


class UnknownStream(NotFound):
    """A stream name that STREAMS does not list."""

    code = "unknown_stream"


class TooLarge(Refused):
    """A body above its limit."""

    status = 413
    code = "too_large"


class UnsupportedBody(Refused):
    """A body in a form that is not read: compressed, not UTF-8, or in parts."""

    status = 415
    code = "unsupported_media_type"


class Misdirected(Refused):
    """A request for a host that this server does not answer to (RFC 9110 §15.5.20)."""

    status = 421
    code = "misdirected_request"


class InvalidUpdate(Refused):
    """A body that is not JSON."""

    status = 422
    code = "invalid_json"


class TooManyRequests(Refused):
    """A request above a rate limit; a later one may be served."""

    status = 429
    code = "too_many_requests"


class LogUnavailable(Refused):
    """The log could not be read or written in time.

    After a failed publish it is open whether the update exists: a retry with the same Idempotency-Key is safe.
    """

    status = 503
    code = "log_unavailable"


class NotStarted(Refused):
    """A request to an app whose lifespan does not run, or has ended: its parts are not there."""

    status = 503
    code = "not_started"
