"""The verdict on a run, from what stands in the logs and what arrived outside. Naive: it shares no rule with the pager.

Promise 10, read literally: while some region that knows of an incident can write its log and its store and reach its
providers, every due page is handed over; once, but for what nobody could know.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from tests.simulation.loop import EPOCH_S
from tests.simulation.paging.faults import ELSEWHERE
from tests.simulation.paging.world import LIMITS, Alert, PagingWorld, Said
from tocsin.core.paging.assignments import pair_of
from tocsin.core.paging.feedback import End, Intent, IntentId, Outcome, Pulse
from tocsin.core.paging.people import Person, Rule

READ_S_MAX: Final = 1.5
"""What stands in a region's log for so long is read, where nothing ails the region."""
START_S_MAX: Final = 8.0
"""After so long a region that a fault has left is at work again, catching up included."""
SKEW_S: Final = 4.0
"""Two clocks within the bound of 2 s differ by so much at most."""
PULSES_MIN: Final = 5
LATE_S: Final = 0.2
"""How late a loop may wake: its bucket, and what it has in hand."""
CALM_S: Final = 15.0


class Span(NamedTuple):
    """A fault that lasted."""

    kind: str
    region: str
    from_s: float
    until_s: float


class Pair(NamedTuple):
    """What a person is to be told by a rule of theirs."""

    alert: Alert
    user: str
    rule: Rule

    @property
    def name(self) -> bytes:
        """As intents name it."""
        return pair_of(self.alert.key, self.rule.id)

    @property
    def due_s(self) -> float:
        """In true time, as far as the clock of the region was right in which the incident opened."""
        return self.alert.since_us / 1e6 - EPOCH_S + self.rule.delay_s

    def __str__(self) -> str:
        return f"{self.user}, {self.rule.id} ({self.rule.delay_s:g} s), {self.alert.key.parent.dedup_key}"


class Judge:
    """Judges one run after its end."""

    def __init__(self, world: PagingWorld, spans: Sequence[Span], ended_s: float) -> None:
        self._world = world
        self._spans = spans
        self._ended_s = ended_s
        self._intents: dict[str, tuple[float, Intent]] = {}
        """Page to when it was first on its own region's log, and what."""
        self._covering: dict[tuple[str, bytes], list[str]] = defaultdict(list)
        """(User, pair) to the pages that covered it, in the order of their intents."""
        for region, said in world.said.items():
            for one in said:
                if isinstance(one.what, Intent) and one.source == region:
                    self._intent(one.at_s, one.what)
        for pages in self._covering.values():
            pages.sort(key=lambda page: self._intents[page][0])
        self._arrived: dict[str, float] = {receipt.page: receipt.at_s for receipt in world.outside.receipts}
        self._told_incidents = {receipt.page: receipt.incidents for receipt in world.outside.receipts}

    def _intent(self, at_s: float, intent: Intent) -> None:
        known = self._intents.get(intent.name)
        if known is None:
            self._intents[intent.name] = at_s, intent
            for pair in intent.pairs:
                self._covering[intent.channel.user, pair].append(intent.name)
        elif known[1] != intent:
            self._world.breach("10, one name a page", f"{intent.name} names two pages")

    def judge(self) -> None:
        """All checks."""
        for pair in self._pairs():
            self._is_told(pair)
        for region in self._world.sites:
            self._ends_all(region)
            self._repeats_nothing(region)
        if not self._world.clocks_off:
            self._is_calm_once()

    # Told -----------------------------------------------------------------------------------------------------------

    def _pairs(self) -> Iterator[Pair]:
        for alert in self._world.alerts:
            for user in alert.users:
                person = self._world.people[user]
                if user not in self._world.volatile:
                    yield from (Pair(alert, user, rule) for rule in _rules(person, alert.urgency))

    def _is_told(self, pair: Pair) -> None:
        told_s = [
            self._arrived[page]
            for page in self._covering[pair.user, pair.name]
            if pair.alert.key in self._told_incidents.get(page, ())
        ]
        if not self._world.clocks_off:
            self._is_in_time(pair, told_s)
        if pair.alert.closed_s is None and not told_s and not self._is_given_up(pair, self._ended_s):
            self._world.breach("10, every due page", f"{pair} was never told")

    def _is_given_up(self, pair: Pair, by_s: float) -> bool:
        """Whether it was tried as often as it may be."""
        pages = self._covering[pair.user, pair.name]
        return sum(self._intents[page][0] <= by_s for page in pages) >= LIMITS.tries_max

    def _is_in_time(self, pair: Pair, told_s: list[float]) -> None:
        """Whether a region that was able to all the time left it untold."""
        open_until_s = self._ended_s if pair.alert.closed_s is None else pair.alert.closed_s
        for region, known in self._world.knowledge.items():
            applied_s = known.applied_s.get(pair.alert.key)
            if applied_s is None:
                continue
            from_s = self._able_from_s(region, max(pair.due_s + SKEW_S / 2, applied_s))
            by_s = self._by_s(pair, region, from_s)
            able = not any(
                self._ails(span, region) and span.from_s < by_s and span.until_s > from_s for span in self._spans
            )
            if able and by_s < open_until_s and not any(at_s <= by_s for at_s in told_s):
                if not self._is_given_up(pair, by_s):
                    what = f"{pair}: due at {pair.due_s:.1f} s, and {region} could from {from_s:.1f} to {by_s:.1f} s"
                    self._world.breach("10, every due page in time", what)
                return

    def _by_s(self, pair: Pair, region: str, from_s: float) -> float:
        """Until when a region that is able to from then on may take: its place, once the channel is free so long."""
        waits_s = _patience_s(len(self._world.sites))
        for begins_s, ends_s in self._held(pair, region):
            if begins_s < from_s + waits_s:
                from_s = max(from_s, ends_s)
        return from_s + waits_s

    def _held(self, pair: Pair, region: str) -> Iterator[tuple[float, float]]:
        """When pages of the pair's channel were under way or paced it, in order, as the region could see it."""
        ended: dict[str, tuple[float, Outcome]] = {}
        for one in self._world.said[region]:
            if isinstance(one.what, End):
                ended.setdefault(f"{one.what.id}-{one.what.channel.user}", (one.at_s, one.what.outcome))
        tries = 0
        for page, (at_s, intent) in sorted(self._intents.items(), key=lambda item: item[1][0]):
            if intent.channel != (pair.user, pair.rule.method, pair.alert.urgency):
                continue
            tries += pair.name in intent.pairs
            lapse_s = at_s + LIMITS.end_s_max
            end_s, outcome = ended.get(page, (lapse_s, Outcome.UNKNOWN))
            again_s = max(at_s, min(end_s, lapse_s)) + LIMITS.pace_s * max(tries - 1, 0)
            late_s = (
                max(pair.due_s, self._world.knowledge[region].applied_s[pair.alert.key]) + LIMITS.backstop_s + SKEW_S
            )
            if intent.id.region != region and at_s > late_s and pair.name not in intent.pairs:
                yield at_s, min(end_s, lapse_s)  # it was decided by who does not know of it: it paces nothing
                continue
            yield at_s, max(at_s + LIMITS.pace_s, end_s) if outcome is Outcome.DELIVERED else again_s

    def _able_from_s(self, region: str, from_s: float) -> float:
        """The first moment from then on at which nothing has ailed the region for a while."""
        for span in sorted((one for one in self._spans if self._ails(one, region)), key=lambda one: one.from_s):
            if span.from_s <= from_s:
                from_s = max(from_s, span.until_s + START_S_MAX)
        return from_s

    def _ails(self, span: Span, region: str) -> bool:
        return span.region == region and span.kind not in ELSEWHERE

    # Once -----------------------------------------------------------------------------------------------------------

    def _ends_all(self, region: str) -> None:
        said = [one for one in self._world.said[region] if one.source == region]
        ended = {(one.what.id, one.what.channel) for one in said if isinstance(one.what, End)}
        for one in said:
            if isinstance(one.what, Intent) and (one.what.id, one.what.channel) not in ended:
                self._world.breach("10, each intent has an end", f"{one.what.name} has none in {region}")

    def _repeats_nothing(self, region: str) -> None:
        """Whether the region decided what its own log told it not to."""
        delivered: dict[tuple[str, bytes], float] = {}
        flying: dict[IntentId, tuple[float, Intent]] = {}
        pulses: dict[tuple[str, int], list[tuple[float, bool]]] = defaultdict(list)
        users = {page: intent for page, (_, intent) in self._intents.items()}
        for one in self._world.said[region]:
            match one.what:
                case Pulse():
                    pulses[one.source, one.partition].append((one.at_s, one.what.fit))
                case End(id, channel, Outcome.DELIVERED):
                    intent = users.get(f"{id}-{channel.user}")
                    for pair in intent.pairs if intent is not None else ():
                        delivered.setdefault((channel.user, pair), one.at_s)
                    flying.pop(id, None)
                case End(id):
                    flying.pop(id, None)
                case Intent():
                    if one.source == region and self._is_well(region, one.at_s):
                        self._is_needed(region, one, delivered)
                        if not self._world.clocks_off:
                            self._is_free(region, one, flying, pulses)
                            self._is_its_turn(region, one, pulses)
                    flying.setdefault(one.what.id, (one.at_s, one.what))

    def _is_well(self, region: str, at_s: float) -> bool:
        """Whether it read and wrote at once then."""
        return not any(
            self._ails(span, region) and span.from_s <= at_s and span.until_s + START_S_MAX >= at_s
            for span in self._spans
        )

    def _is_needed(self, region: str, one: Said, delivered: dict[tuple[str, bytes], float]) -> None:
        assert isinstance(one.what, Intent)
        if one.what.channel.user in self._world.volatile:
            return  # a rule that leads elsewhere now is another rule, and who was deleted starts anew
        for pair in one.what.pairs:
            at_s = delivered.get((one.what.channel.user, pair))
            if at_s is not None and at_s < one.at_s - READ_S_MAX:
                text = f"{region} decided {one.what.name} at {one.at_s:.1f} s; delivered, as it read at {at_s:.1f} s"
                self._world.breach("10, once", text)
                return

    def _is_free(
        self,
        region: str,
        one: Said,
        flying: dict[IntentId, tuple[float, Intent]],
        pulses: dict[tuple[str, int], list[tuple[float, bool]]],
    ) -> None:
        """Whether nobody whom it heard had one of the pairs in hand."""
        assert isinstance(one.what, Intent)
        if one.what.channel.user in self._world.volatile:
            return  # a rule that leads to another channel now is paged for there
        mine = {*one.what.pairs}
        for at_s, intent in flying.values():
            is_same = intent.channel.user == one.what.channel.user and mine & {*intent.pairs}
            lasts = one.at_s < self._intents[intent.name][0] + LIMITS.end_s_max - SKEW_S - READ_S_MAX
            heard = _was_heard(pulses[intent.id.region, one.partition], at_s, one.at_s)
            if is_same and lasts and heard and at_s < one.at_s - READ_S_MAX and intent.id.region != region:
                text = f"{region} decided {one.what.name} at {one.at_s:.1f} s while {intent.name} was under way"
                self._world.breach("10, no race with an intent", text)
                return

    def _is_its_turn(self, region: str, one: Said, pulses: dict[tuple[str, int], list[tuple[float, bool]]]) -> None:
        """Whether it stepped back when it said that it was not fit, and heard of one that was."""
        assert isinstance(one.what, Intent)
        if one.what.place or one.what.why == "again":
            return
        own = pulses[region, one.partition][-PULSES_MIN:]
        if len(own) < PULSES_MIN or any(fit for _, fit in own):
            return
        for peer in self._world.sites:
            heard = pulses[peer, one.partition][-PULSES_MIN:]
            spread_s = one.at_s - heard[0][0] if len(heard) == PULSES_MIN else 0.0
            fresh = READ_S_MAX < spread_s < LIMITS.silence_s + PULSES_MIN * 0.6  # not many at once, after a cut
            if peer != region and fresh and heard[-1][0] > one.at_s - 1.0 and all(fit for _, fit in heard):
                text = f"{region} is not fit and went first with {one.what.name}, though {peer} is fit"
                self._world.breach("10, who is not fit steps back", text)
                return

    def _is_calm_once(self) -> None:
        """Where nothing was wrong anywhere for a while, a page is made once.

        One that was not handed over, since its alert was closed a moment before, is none: who has not heard so tries.
        """
        for (user, pair), pages in self._covering.items():
            decided = [self._intents[page] for page in pages if page in self._arrived]
            for (at_s, first), (again_s, second) in pairwise(decided):
                if first.id.region != second.id.region and self._is_calm(at_s, again_s):
                    text = (
                        f"{user}: {first.name} at {at_s:.1f} s and {second.name} at {again_s:.1f} s cover {pair.hex()}"
                    )
                    self._world.breach("10, once in calm", text)

    def _is_calm(self, from_s: float, until_s: float) -> bool:
        return (
            not any(span.from_s <= until_s and span.until_s + CALM_S >= from_s for span in self._spans)
            and from_s > CALM_S
        )


def _was_heard(pulses: list[tuple[float, bool]], from_s: float, until_s: float) -> bool:
    """Whether a region was never silent from then on: once it was, its intents cover no longer. Who listens counts from
    when it last looked before a pulse, so it may find a silence up to a pulse too early.
    """
    silence_s = LIMITS.silence_s - LIMITS.pulse_every_s - LATE_S
    before_s = max((at_s for at_s, _ in pulses if at_s <= from_s), default=0.0)
    heard_s = [before_s, *(at_s for at_s, _ in pulses if at_s > from_s), until_s]
    return all(later_s - earlier_s < silence_s for earlier_s, later_s in pairwise(heard_s))


def _rules(person: Person, urgency: str) -> Iterator[Rule]:
    """The rules that lead somewhere; a person without any for the urgency is told by their first method at once."""
    found = [rule for rule in person.rules if rule.urgency == urgency]
    yield from found or [Rule("default", person.methods[0].id, 0.0, urgency)]


def _patience_s(regions: int) -> float:
    """How long a region that can page may take where nothing is under way: for whom it waits, and clocks."""
    return (regions - 1) * LIMITS.backstop_s + LIMITS.silence_s + LIMITS.step_in_s + SKEW_S
