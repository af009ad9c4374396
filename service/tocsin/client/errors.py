"""What can become of an event but delivery, and what a caller can do about it."""

from collections.abc import Mapping, Sequence
from pathlib import Path


class Refused(Exception):
    """The event is wrong, and would be in every region: nothing was recorded, and nothing is kept for later.

    `status` is intake's (400 or 413), `errors` name what is wrong.
    """

    def __init__(self, status: int, errors: Sequence[str]) -> None:
        super().__init__("; ".join(errors))
        self.status = status
        self.errors = list(errors)


class NotDelivered(Exception):
    """The event was not delivered and is not kept here: send it again later, or raise the alarm another way."""


class Unreachable(NotDelivered):
    """No region took the event. `reasons` has why, by the region's address. It may be recorded all the same."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("no region took the event: " + "; ".join(f"{url}: {why}" for url, why in reasons.items()))
        self.reasons = dict(reasons)


class SpoolFull(NotDelivered):
    """No region took the event, and the spool could not keep it: it is full, or its disk is."""


class SpoolInUse(Exception):
    """Another producer has the spool."""

    def __init__(self, directory: Path) -> None:
        super().__init__(
            f"the spool {directory} belongs to another producer that is open: close it, or give each its own folder"
        )
