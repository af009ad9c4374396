"""The `Idempotency-Key` header: a temporal id that the client minted, so that sending again is the same request.

An id is taken at any age within the log's retention: a client may keep what it could not deliver for days, and as long
as the first copy is in a log, the second one must meet it there. An older one could no longer be told from a new one.
Of an id from the future the clocks are to blame; a little of that is normal. The id says when the client minted it and
nothing of when we received it.
"""

from collections.abc import Sequence
from typing import Final

from tocsin.core.events import InvalidEvent
from tocsin.core.ids import id_seconds, parse_id

HEADER: Final = "Idempotency-Key"
AHEAD_S_MAX: Final = 60
"""How far an id may lie in the future: what the clock of a client may be wrong by."""


def client_id(given: Sequence[str], *, now_s: float, retention_s: float) -> int | None:
    """The id that the values of the header give, None when there is none. `now_s` is Unix time.

    Raises `InvalidEvent`, naming the header, for anything that is not one printed id within its time.
    """
    if not given:
        return None
    if len(given) > 1:
        raise _invalid(f"is there {len(given)} times; send it once")
    try:
        temporal_id = parse_id(given[0])
    except ValueError as error:
        raise _invalid(f"is {error}") from error
    age_s = now_s - id_seconds(temporal_id)
    if age_s > retention_s:
        raise _invalid(
            f"was minted {age_s:.0f} s ago, and the log keeps requests for {retention_s:.0f} s: whether this one was "
            "taken before can no longer be known; mint a new id"
        )
    if age_s < -AHEAD_S_MAX:
        raise _invalid(f"lies {-age_s:.0f} s in the future, more than {AHEAD_S_MAX} s; set the clock of the client")
    return temporal_id


def _invalid(what: str) -> InvalidEvent:
    return InvalidEvent("invalid event", "Event object is invalid", [f"header '{HEADER}' {what}"])
