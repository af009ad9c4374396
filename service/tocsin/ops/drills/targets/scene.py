"""One drill's own part of a local target: who sends, who asks, who is paged, and the history of it all."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import httpx2

from tocsin.engines.store import Store
from tocsin.ops.demo.pages import Pages, unended
from tocsin.ops.demo.player import Accepted, Event, Player
from tocsin.ops.demo.receiver import Pair
from tocsin.ops.demo.stage import BAD_SERVICE
from tocsin.ops.demo.witness import witness
from tocsin.ops.drills.load import Trickle
from tocsin.ops.drills.target import Account, Requests
from tocsin.ops.drills.target import Pages as PageCounts
from tocsin.ops.history import Kind, Recorder, Verdict, check_file, scan
from tocsin.ops.supervisor import LocalSet

PAGE: Final = 1_000
TRIGGER: Final = "trigger"
KEY_MARK: Final = "/"
LAST_WORDS_S: Final = 10.0
"""What a region said of pages this long before it was killed may not have come to its peer: an alert, its page, a busy
mirror.
"""
"""In the alert key of every event of a drill."""


class Scene:
    """From `begin` to the account. What it counts of pages are pairs of an incident and a person."""

    def __init__(
        self,
        name: str,
        history: Path,
        local: LocalSet,
        client: httpx2.AsyncClient,
        pages: Pages,
        earlier: Collection[Any],
    ) -> None:
        """`earlier`: hand-overs of earlier drills that have not ended, as `unended` names them."""
        self.name = name
        self.began_us = time.time_ns() // 1000
        self.recorder = Recorder.open(history, pages.regions, f"tocsin drill {name}")
        self.player = Player(client, {region: local.intake_url(region) for region in pages.regions}, self.recorder)
        self.pages = pages
        self.accepted_us: dict[str, int] = {}
        """Of each alert's incident, when it was accepted."""
        self.excused_until_s = 0.0
        """Alerts before this (monotonic) may page once a side."""
        self._mine = KEY_MARK.join((name, str(self.began_us), ""))
        self._history = history
        self._earlier = frozenset(earlier)
        self._services = {id: key for id, key in local.routing_keys.items() if id != BAD_SERVICE}
        self._bad_key = local.routing_keys[BAD_SERVICE]
        self._numbers = itertools.count()
        self._local = local
        self._client = client
        self._tasks: list[asyncio.Task[None]] = []
        self._trickle: Trickle | None = None

    # Sending -----------------------------------------------------------------------------------------------------

    def begin(self, events_per_s: float) -> None:
        """The load begins, and in each region somebody who reads."""
        self._trickle = Trickle(self.player, self.pages.regions, self._trickled, self.expect, events_per_s)
        self._tasks = [asyncio.create_task(self._trickle.run(), name="trickle")]
        for region in self.pages.regions:
            asking = witness(self._local, self.player, self._client, self.recorder, region)
            self._tasks.append(asyncio.create_task(asking, name=f"witness of {region}"))

    async def settle(self) -> None:
        """Nothing new is sent; returns when all has been answered."""
        if self._trickle is not None:
            self._trickle.stop()
            trickle, *_ = self._tasks
            await trickle
            self._trickle = None

    async def end(self) -> None:
        """Nobody asks any more; the history is whole."""
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended
        self._tasks = []
        self.recorder.close()

    def good(self) -> Event:
        """An event of one of the services that nothing is wrong with."""
        number = next(self._numbers)
        keys = list(self._services.values())
        return self._event(keys[number % len(keys)], f"event-{number}")

    def spoilt(self) -> Event:
        """An event of the service that a spoilt store is about."""
        return self._event(self._bad_key, f"spoilt-{next(self._numbers)}")

    def alert(self) -> Event:
        """An event that people are paged for."""
        return self._event(self.pages.routing_key, f"alert-{next(self._numbers)}")

    def expect(self, accepted: Accepted) -> None:
        """An alert was accepted: everybody is to be told of it."""
        incident = accepted.request.partition(".")[0]
        self.accepted_us.setdefault(incident, time.time_ns() // 1000)
        excused = self.pages.cut if time.monotonic() < self.excused_until_s else None
        self.pages.expect(accepted.request, scene=excused)

    def excuse(self, until_s: float) -> None:
        """The regions may not hear each other until then: what is under way, and what comes, may page once a side."""
        self.pages.cut |= {pair.incident for pair in self.pages.missing()}
        self.excused_until_s = until_s

    def excuse_last_words(self) -> None:
        """A region is killed, its log with it: what it handed over just now, a peer may hand over once more."""
        since_us = time.time_ns() // 1000 - int(LAST_WORDS_S * 1e6)
        self.pages.cut |= {incident for incident, at_us in self.accepted_us.items() if at_us >= since_us}

    def _trickled(self, _number: int, is_alert: bool) -> Event:  # noqa: FBT001 - as the trickle calls it
        return self.alert() if is_alert else self.good()

    def _event(self, routing_key: str, key: str) -> Event:
        return {
            "routing_key": routing_key,
            "event_action": "trigger",
            "dedup_key": self._mine + key,
            "payload": {"summary": f"drill {self.name}: {key}", "source": "drill", "severity": "warning"},
        }

    # What came of it ---------------------------------------------------------------------------------------------

    def waits_s(self) -> dict[Pair, tuple[float, float | None]]:
        """Of each pair that is due: when its alert was accepted, and how long until the page; None: it has not come."""
        told = self.pages.receiver.told()
        found: dict[Pair, tuple[float, float | None]] = {}
        for pair in self.pages.due:
            accepted_us = self.accepted_us[pair.incident]
            came_us = min((bundle.received_us for bundle in told.get(pair, ())), default=None)
            wait_s = None if came_us is None else max(0.0, (came_us - accepted_us) / 1e6)
            found[pair] = (accepted_us / 1e6, wait_s)
        return found

    def overdue(self, after_s: float) -> int:
        """How many have not been told so long after the alert was accepted."""
        late_s = time.time() - after_s
        return sum(wait_s is None and at_s < late_s for at_s, wait_s in self.waits_s().values())

    async def account(
        self, stores: Mapping[str, Store], partitions: int, feedback: Any, differing: int, page_s: float
    ) -> Account:
        """The whole; the witnesses have ended, but for the final reads."""
        for region, store in stores.items():
            await scan(self.recorder, "auditor", region, store, partitions=partitions, regions=[*stores], final=True)
        await self.end()
        requests, unknown_because = self._requests(await self._recorded_twice(next(iter(stores.values()))))
        pages = self._pages(feedback, page_s)
        waits = [(at_s, wait_s) for at_s, wait_s in self.waits_s().values() if wait_s is not None]
        return Account(
            requests=requests,
            pages=pages,
            slowest_page_s=max((wait_s for _, wait_s in waits), default=None),
            unknown_because=unknown_because,
            harm=harm(requests, pages, differing),
            waits=sorted(set(waits)),
        )

    def _requests(self, duplicated: int) -> tuple[Requests, list[str]]:
        report = check_file(self._history)
        counts = report.counts
        requests = Requests(
            accepted=len(self.player.accepted),
            lost=counts.get(Kind.LOST, 0) + counts.get(Kind.SKIPPED, 0),
            diverged=counts.get(Kind.DIVERGED, 0) + counts.get(Kind.REWRITTEN, 0),
            duplicated=duplicated,
            late=counts.get(Kind.LATE, 0),
            indeterminate=report.calls["send"]["info"],
        )
        return requests, list(report.unknown_because) if report.verdict is Verdict.UNKNOWN else []

    async def _recorded_twice(self, store: Store) -> int:
        """Each event has an alert key of its own: a second entry under one is the same event, sent again."""
        keys: Counter[str] = Counter()
        after = None
        while entries := await store.scan_entries(after, PAGE):
            after = entries[-1].key
            ours = (entry for entry in entries if entry.action == TRIGGER)
            keys.update(entry.key.parent.dedup_key for entry in ours)
        return sum(count - 1 for key, count in keys.items() if key.startswith(self._mine))

    def _pages(self, feedback: Any, page_s: float) -> PageCounts:
        account = self.pages.account(feedback)
        late = sum(wait_s is not None and wait_s > page_s for _, wait_s in self.waits_s().values())
        return PageCounts(
            due=account.due,
            sent=account.sent,
            lost=account.missed,
            duplicated=account.duplicate,
            excused=account.duplicate_cut,
            late=late,
            indeterminate=len(unended(feedback) - self._earlier),
        )


def harm(requests: Requests, pages: PageCounts, differing: int) -> list[str]:
    """What was promised to users and not kept, a sentence each."""
    found = [
        (requests.lost, "{} requests were acknowledged and are not in all regions"),
        (requests.diverged, "{} requests ended differently in the regions"),
        (requests.late, "{} requests were missing from reads that claimed to be complete"),
        (differing, "{} rows differ between the regions"),
        (pages.lost, "{} times somebody was not told of an incident at all"),
        (max(0, pages.duplicated - pages.indeterminate), "{} pages were repeated without need"),
    ]
    return [text.format(number) for number, text in found if number]
