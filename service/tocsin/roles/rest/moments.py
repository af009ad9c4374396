"""Moments as the REST interface shows and takes them."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime.max.replace(tzinfo=UTC)


def moment(us: int) -> str:
    """Unix microseconds as ISO 8601 in UTC; what lies beyond the year 9999 is shown as its end."""
    try:
        at = _EPOCH + timedelta(microseconds=us)
    except OverflowError:
        at = _LATEST
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def microseconds(at: datetime) -> int:
    """Unix microseconds of a moment; one without a zone is in UTC."""
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)
