"""Errors of the REST interface: PagerDuty's codes, messages and body, so that clients know what they know already."""

from collections.abc import Mapping
from typing import Any, Final

ALREADY_RESOLVED: Final = 1001
ALREADY_ACKNOWLEDGED: Final = 1002
INVALID_STATUS: Final = 1003
INTERNAL: Final = 2000
INVALID: Final = 2001
BAD_ARGUMENTS: Final = 2002
UNAUTHENTICATED: Final = 2006
DENIED: Final = 2010
MISSING_ABILITY: Final = 2014
TOO_SLOW: Final = 2016
NO_REQUESTER: Final = 2016
"""PagerDuty gives a missing `From` the number that its documents have for time-outs; the message tells them apart."""
TOO_MANY: Final = 2020
NOT_FOUND: Final = 2100
NO_SUCH_INCIDENT: Final = 5001
"""Of log entries too."""
NO_SUCH_SERVICE: Final = 5002
RETRY_AFTER_S: Final = 2
"""What a 503 tells clients to wait."""
RETRY: Final = {"Retry-After": str(RETRY_AFTER_S)}
INVALID_INPUT: Final = "Invalid Input Provided"


class RestError(Exception):
    """An answer that is an error: HTTP status, PagerDuty's code, message and errors."""

    def __init__(
        self, status: int, code: int, message: str, errors: list[str], headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body = error_body(code, message, errors)


def error_body(code: int, message: str, errors: list[str]) -> dict[str, Any]:
    """The body of an error."""
    return {"error": {"message": message, "code": code, "errors": errors}}


def invalid(*errors: str) -> RestError:
    """The answer to a request that makes no sense as it is."""
    return RestError(400, INVALID, INVALID_INPUT, list(errors))


def no_incident(*errors: str, headers: Mapping[str, str] | None = None) -> RestError:
    """The answer about an incident or a log entry that is not here."""
    return RestError(404, NO_SUCH_INCIDENT, "Incident Not Found", list(errors), headers)
