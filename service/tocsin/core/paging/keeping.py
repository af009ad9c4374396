"""Keeping: which users changed and are to be kept, and when; and that positions never run ahead of them.

A `Keep` takes all that changed, up to the bound; what is above it follows at once, and until it is out the input
positions stay where they are. Of a `Keep` that failed all is kept again: rows are whole, so once too often is nothing.
"""

from collections.abc import Mapping
from typing import Final

from tocsin.core.paging.effects import Keep, UserRow
from tocsin.core.paging.limits import PagingLimits
from tocsin.core.paging.state import encode_user
from tocsin.core.paging.user import User

IDLE_KEEPS: Final = 30
"""Positions alone are kept after so many times the interval: pulses move them without end."""


class Keeping:
    """The users that changed since they were last kept."""

    __slots__ = ("_changed", "_failed", "_kept_s", "_limits", "_more", "_number", "_under_way")

    def __init__(self, limits: PagingLimits) -> None:
        """Nobody changed."""
        self._limits = limits
        self._changed: dict[str, None] = {}
        self._under_way: tuple[str, ...] | None = None
        self._failed = False
        self._more = False
        self._number = 0
        self._kept_s: float | None = None

    def __len__(self) -> int:
        """How many users changed and are not kept."""
        return len(self._changed) + len(self._under_way or ())

    def changed(self, user: str) -> None:
        """A user is not as they were kept."""
        self._changed[user] = None

    def keep(self, mono_s: float, users: Mapping[str, User], *, at_once: bool) -> Keep | None:
        """The next `Keep`, when it is time and none is under way."""
        if self._under_way is not None or not self._is_time(mono_s, at_once=at_once):
            return None
        taken = tuple(self._changed)[: self._limits.keep_users_max]
        for user in taken:
            del self._changed[user]
        self._under_way = taken
        self._more = bool(self._changed)
        if not self._more:
            self._changed.clear()  # a dict that was large once stays large
        self._kept_s = mono_s
        self._number += 1
        rows = [UserRow(user, encode_user(users[user]) if user in users else b"") for user in taken]
        return Keep(self._number, rows, self._more)

    def _is_time(self, mono_s: float, *, at_once: bool) -> bool:
        if self._kept_s is None:
            return True
        since_s = mono_s - self._kept_s
        if self._changed:
            soon = (self._more or at_once) and not self._failed
            return soon or since_s >= self._limits.keep_every_s
        return since_s >= self._limits.keep_every_s * IDLE_KEEPS

    def kept(self, number: int, mono_s: float, *, ok: bool) -> None:
        """A `Keep` ended. One that failed is repeated after the interval."""
        if number != self._number or self._under_way is None:
            return
        if not ok:
            self._kept_s = mono_s
            self._changed = {**dict.fromkeys(self._under_way), **self._changed}
        self._failed = not ok
        self._under_way = None
