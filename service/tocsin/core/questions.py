"""Questions: the requests on which somebody waits for our word.

Theory
------
A peer's `failed` is a question and a delivery; our own `failed` without a `stored` after it is a question that we owe
an answer to after a restart. *Register the question, then look* in our own store: a write that is under way while we
look is checked against the register when it is acknowledged, so no order of the two leaves a question unanswered. What
is not in our store is tried at once, from the payload in the ledger, also while halted, and also when the mirror never
brought the request.
"""

from collections.abc import Iterable, Iterator

from tocsin.core.cases import Cases
from tocsin.core.effects import Look, Now
from tocsin.core.ids import RequestKey
from tocsin.core.kept import Stage
from tocsin.core.knowledge import Knowledge
from tocsin.core.statements import Word


class Questions:
    """The register of open questions of one partition number."""

    def __init__(self, known: Knowledge, cases: Cases) -> None:
        self._known = known
        self._cases = cases
        self._open: set[RequestKey] = set()
        self._looking: dict[RequestKey, bool] = {}
        """Keys that are being looked up; False: the store did not answer, to be looked up again."""

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[RequestKey]:
        return iter(self._open)

    def ask(self, key: RequestKey, now: Now) -> None:
        """Registers what the book asks of us about a request, if anything, then looks."""
        case = self._cases.open.get(key)
        if case is not None:
            if case.stage is Stage.DONE:
                self._cases.say_stored(key, now)
            return  # any other case says its word itself
        if not self._is_asked(key):
            return
        self._open.add(key)
        if key not in self._looking:
            self._look(key)

    def _is_asked(self, key: RequestKey) -> bool:
        own = self._known.last_word(key)
        return own.word is Word.FAILED if own is not None else self._known.book.is_asked(key)

    def _look(self, key: RequestKey) -> None:
        self._looking[key] = True
        self._known.out.append(Look(key))

    def looked(self, key: RequestKey, now: Now, *, stored: bool | None) -> None:
        """Our store was looked into."""
        self._looking.pop(key, None)
        if key not in self._open:
            return
        if stored is None:
            self._looking[key] = False
            return
        payload = self._known.book.payloads.get(key)
        if stored and (payload is None or key not in self._known.suspects):
            self.written((key,), now)
        elif key in self._cases.open:
            self._open.discard(key)  # the case says its word itself
        elif payload is not None:  # also where the store has it: who wrote it may not have lived to fold it
            self._open.discard(key)
            self._cases.deliver(key, payload.record, now)

    def written(self, keys: Iterable[RequestKey], now: Now) -> None:
        """These are in our store: whoever asked is answered."""
        for key in keys:
            if key in self._open:
                self._open.discard(key)
                self._known.suspects.discard(key)
                self._cases.say_stored(key, now)

    def tick(self) -> None:
        """Looks again where the store did not answer."""
        for key in [key for key, looking in self._looking.items() if not looking]:
            self._look(key)
