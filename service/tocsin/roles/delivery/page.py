"""A page: a bundle on its way through stage two, to exactly one end."""

from collections.abc import Callable

from opentelemetry.trace import INVALID_SPAN, Span

from tocsin.core.paging.effects import Bundle, Ended
from tocsin.core.paging.feedback import IntentId, Outcome
from tocsin.core.paging.people import Method

USEFUL_SHARE = 0.9
"""Of the time in which an intent needs its end, so much is for providers; the rest is for the end to be said."""


class Page:
    """`until_us`: what was not taken by then is given up. `method`: the one that is tried now."""

    __slots__ = (
        "_ended",
        "_fallbacks",
        "_is_wanted",
        "bundle",
        "in_doubt",
        "is_called",
        "is_ended",
        "method",
        "reasons",
        "span",
        "tries",
        "until_us",
    )

    def __init__(
        self,
        bundle: Bundle,
        end_s_max: float,
        is_wanted: Callable[[IntentId], bool],
        ended: Callable[[Ended], None],
        span: Span = INVALID_SPAN,
    ) -> None:
        self.bundle = bundle
        self.span = span
        self.until_us = bundle.intent.at_us + round(USEFUL_SHARE * end_s_max * 1e6)
        self.tries = 0
        self.in_doubt = False
        """A call of a provider ended in nobody knows what."""
        self.is_called = False
        """A provider has it now."""
        self.is_ended = False
        self.reasons: list[str] = []
        self.method = bundle.method
        self._fallbacks: list[Method] = list(reversed(bundle.fallbacks))
        self._is_wanted = is_wanted
        self._ended = ended

    @property
    def is_wanted(self) -> bool:
        """Whether anything of it is still to be told."""
        return self._is_wanted(self.bundle.intent.id)

    def fall_back(self) -> bool:
        """Goes on to the next method; False when there is none."""
        if not self._fallbacks:
            return False
        self.method = self._fallbacks.pop()
        self.tries = 0
        return True

    @property
    def has_fallback(self) -> bool:
        """Whether the person has a method that was not tried."""
        return bool(self._fallbacks)

    def failed(self, reason: str) -> None:
        """Remembers why a method did not tell anybody, each once."""
        told = f"{self.method.id}: {reason}"
        if told not in self.reasons:
            self.reasons.append(told)

    def expire(self) -> None:
        """Its time is over: it ends, unless a provider has it, whose call ends by itself then."""
        if not self.is_called and not self.is_ended:
            self.failed("no call could be made in time")
            self.end(Outcome.FAILED)

    def end(self, outcome: Outcome, reason: str = "") -> None:
        """Ends it, the first time. Where nobody took it but somebody may have, that is what is told."""
        if self.is_ended:
            return
        self.is_ended = True
        if outcome is Outcome.FAILED and self.in_doubt:
            outcome = Outcome.UNKNOWN
        method = self.method.id if outcome is not Outcome.FAILED else ""
        self._ended(Ended(self.bundle.intent.id, outcome, method, "; ".join([*self.reasons, reason][-5:]).strip("; ")))
