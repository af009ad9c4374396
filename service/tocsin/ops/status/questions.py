"""Questions: the six that are asked first in an incident, answered in words. Pure: facts in, words out.

    1 Is it still happening, since when, in which region?     4 Is Tocsin itself healthy?
    2 Who was paged, who acknowledged, what comes next?       5 What does the log say?
    3 What changed?                                           6 What is the next safe action?

The same words are shown by the command, stand in the runbooks as samples, and are the console's. What is wrong is read
off the table of `signs.py`; what could not be read is never taken for well.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import msgspec

from tocsin.ops.status.facts import Condition, Facts, Figure, Health, Incident, Next, Page, Region, State
from tocsin.ops.status.signs import SIGNS, Seen, Sign

UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
LOOK_AROUND: Final = "tocsin region ls"


class Verdict(StrEnum):
    """What it comes to."""

    WELL = "well"
    PERSON = "needs a person"
    UNKNOWN = "could not tell"


class Trouble(msgspec.Struct, frozen=True):
    """A sign that holds in a region: its alert, how grave, in words, since when, and how to look, changing nothing."""

    alert: str
    severity: str
    region: str
    words: str
    since_us: int | None
    look: str
    runbook: str


class Answer(msgspec.Struct, frozen=True):
    """A question and its answer. `table`, where there is one: a heading row, then a row a figure, a cell a region."""

    number: int
    question: str
    lines: tuple[str, ...]
    table: tuple[tuple[str, ...], ...] = ()


class Status(msgspec.Struct, frozen=True):
    """What the facts come to, and the six answers. `troubles` are in the order in which to look at them."""

    at_us: int
    verdict: Verdict
    headline: str
    troubles: tuple[Trouble, ...]
    unknown: tuple[str, ...]
    """What could not be found out that matters to the verdict."""
    answers: tuple[Answer, ...]


def status_of(facts: Facts) -> Status:
    """What the facts come to."""
    troubles = tuple(_troubles(facts))
    unknown = tuple(_unknown(facts))
    verdict = Verdict.PERSON if troubles else Verdict.UNKNOWN if unknown else Verdict.WELL
    answers = (
        Answer(1, "Is it still happening, since when, in which region?", tuple(_happening(facts, troubles, unknown))),
        Answer(2, "Who was paged, who acknowledged, what comes next?", tuple(_paged(facts))),
        Answer(3, "What changed in the last day?", tuple(_changed(facts))),
        Answer(4, "Is Tocsin itself healthy?", tuple(_away(facts)), tuple(_side_by_side(facts))),
        Answer(5, "What does the log say? (UTC, the latest last)", tuple(_log(facts))),
        Answer(6, "What is the next safe action?", tuple(_next(troubles, unknown))),
    )
    return Status(facts.at_us, verdict, _headline(facts, troubles, unknown), troubles, unknown, answers)


def _troubles(facts: Facts) -> Iterator[Trouble]:
    for sign in SIGNS:
        for region in facts.regions:
            for seen in sign.sees(facts, region):
                yield _trouble(sign, region.name, seen)


def _trouble(sign: Sign, region: str, seen: Seen) -> Trouble:
    words = sign.words.format(region=region, what=seen.what).removesuffix(": ")
    is_lacking = "{example}" in sign.look and not seen.example
    look = LOOK_AROUND if is_lacking else sign.look.format(region=region, example=seen.example)
    return Trouble(sign.alert, sign.severity, region, words, seen.since_us, look, sign.runbook)


def _unknown(facts: Facts) -> Iterator[str]:
    for region in facts.regions:
        condition = region.condition
        if condition.state is State.UNKNOWN:
            yield f"how region {region.name} is: neither its store nor a heartbeat of it could be read"
        elif condition.state is State.NEVER_RAN:
            yield f"how region {region.name} is: its creators have never written anything down"
        for what, why in region.away.items():
            yield f"{what} of region {region.name}: {why}"
    if not facts.paging.region:
        yield "incidents and pages: no region's store could be read"
    for what, why in facts.paging.away.items():
        yield f"{what}: {why}"


def _headline(facts: Facts, troubles: tuple[Trouble, ...], unknown: tuple[str, ...]) -> str:
    if troubles:
        regions = ", ".join(sorted({one.region for one in troubles}))
        return f"{_counted(len(troubles), 'thing')}, in region {regions}"
    if unknown:
        return "nothing is known to be wrong, but not all could be found out"
    names = ", ".join(region.name for region in facts.regions)
    told = f", as far as region {facts.only} can tell" if facts.only else ""
    return f"all is well in regions {names}{told}"


# 1 -------------------------------------------------------------------------------------------------------------------


def _happening(facts: Facts, troubles: tuple[Trouble, ...], unknown: tuple[str, ...]) -> Iterator[str]:
    if troubles:
        yield "Yes:"
    elif unknown:
        yield "Not as far as can be told; what could not be read is named under 4."
    else:
        yield "No: nothing is wrong with Tocsin."
    for one in troubles:
        since = f"since {_when(one.since_us, facts.at_us)}" if one.since_us is not None else "since when is not known"
        yield f"  {one.words}"
        yield f"    {since} [{one.alert}]"
    yield _open(facts)


def _open(facts: Facts) -> str:
    paging = facts.paging
    if not paging.region:
        return "How many incidents are open is not known: no region's store could be read."
    if "incidents" in paging.away:
        return f"How many incidents are open is not known: {paging.away['incidents']}."
    total = paging.triggered + paging.acknowledged
    if not total:
        return f"No incident is open, as region {paging.region} has them."
    oldest = f", the oldest since {_when(paging.oldest_us, facts.at_us)}" if paging.oldest_us is not None else ""
    verb = "is" if total == 1 else "are"
    return (
        f"{_counted(total, 'incident')} {verb} open ({paging.triggered:,} not acknowledged){oldest}, as region "
        f"{paging.region} has them."
    )


# 2 -------------------------------------------------------------------------------------------------------------------


def _paged(facts: Facts) -> Iterator[str]:
    paging, now_us = facts.paging, facts.at_us
    if not paging.region or "incidents" in paging.away:
        yield "Not known: see 1."
        return
    for incident in paging.incidents:
        yield f"{incident.id} {incident.title} ({incident.service}, {incident.urgency})"
        yield f"  {_acknowledged(incident, now_us)}"
        for page in incident.pages:
            yield f"  {_page(page, now_us)}"
        if not incident.pages:
            yield "  nobody was paged for it"
        for one in incident.next:
            yield f"  next: {_following(one, now_us)}"
        for obstacle in incident.obstacles:
            yield f"  {obstacle}"
        if not incident.next and not incident.obstacles and "directory" not in paging.away:
            yield "  next: nobody; all who are to be told were told"
    more = paging.triggered + paging.acknowledged - len(paging.incidents)
    if more > 0:
        yield f"and {_counted(more, 'more open incident')}: tocsin incidents ls"
    if not paging.incidents:
        yield "No incident is open, so nobody will be paged."
    if "directory" in paging.away:
        yield f"Who is paged next is not known: {paging.away['directory']}"


def _acknowledged(incident: Incident, now_us: int) -> str:
    opened = f"open since {_when(incident.created_us, now_us)}"
    if incident.acknowledged_us is None:
        return f"{opened}; nobody has acknowledged it"
    by = f" by {incident.acknowledged_by}" if incident.acknowledged_by else ""
    return f"{opened}; acknowledged {_when(incident.acknowledged_us, now_us)}{by}"


def _page(page: Page, now_us: int) -> str:
    reason = f": {page.reason}" if page.reason and page.outcome != "delivered" else ""
    how = f"by {page.method}, region {page.region}: {page.outcome}{reason}"
    return f"{page.user} was paged {_when(page.at_us, now_us)} {how}"


def _following(one: Next, now_us: int) -> str:
    if one.at_us is None:
        return f"{one.user} not by {one.method}: {one.because}"
    return f"{one.user} by {one.method} {_when(one.at_us, now_us)}: {one.because}"


# 3, 5 ----------------------------------------------------------------------------------------------------------------


def _changed(facts: Facts) -> Iterator[str]:
    for change in facts.changes:
        yield f"{_utc(change.at_us)} {change.by or 'somebody'}: {change.what}"
    if not facts.changes:
        yield "Nothing that a person did to Tocsin, by the ledgers and audit trails that can be read here."


def _log(facts: Facts) -> Iterator[str]:
    for entry in facts.entries or ():
        yield f"{_utc(entry.at_us)} {entry.region} {entry.what}"
    if not facts.entries:
        yield "No region's store could be read." if facts.entries is None else "Nothing yet."


# 4 -------------------------------------------------------------------------------------------------------------------


def _away(facts: Facts) -> Iterator[str]:
    for region in facts.regions:
        for what, why in region.away.items():
            yield f"not read: {what} of region {region.name}: {why}"


def _side_by_side(facts: Facts) -> Iterator[tuple[str, ...]]:
    """Figure by figure, each region's beside the others', each with its age."""
    regions, now_us = facts.regions, facts.at_us
    yield ("", *(f"region {region.name}" for region in regions))
    yield ("state", *(_state(region.condition, now_us) for region in regions))
    yield ("lag", *(_figure(region.lag_records, "", now_us) for region in regions))
    yield ("age of the oldest", *(_figure(region.lag_s, " s", now_us) for region in regions))
    yield ("complete until", *(_until(region, now_us) for region in regions))
    for name in [region.name for region in regions]:
        yield (f"heartbeat of {name}", *(_heard(region, name, now_us) for region in regions))
        yield (f"mirror of {name}", *(_mirror(region, name) for region in regions))
    yield ("set aside", *(_kept(region, "set_aside", now_us) for region in regions))
    yield ("quarantined", *(_kept(region, "quarantined", now_us) for region in regions))
    yield ("held", *(_kept(region, "held", now_us) for region in regions))
    yield ("budget", *(_budget(region, now_us) for region in regions))
    yield ("roles", *(_roles(region, now_us) for region in regions))


def _state(condition: Condition, now_us: int) -> str:
    age = "" if condition.at_us is None else f" ({_source(condition.source)}{_ago(condition.at_us, now_us)})"
    return f"{condition.state}{age}"


def _figure(figure: Figure | None, unit: str, now_us: int) -> str:
    if figure is None:
        return "not known"
    value = f"{figure.value:,.0f}" if unit == "" else f"{figure.value:,.1f}"
    return f"{value}{unit} ({_source(figure.source)}{_ago(figure.at_us, now_us)})"


def _until(region: Region, now_us: int) -> str:
    until_us = region.complete_until_us
    return "not known" if until_us is None else f"{_clock(until_us)} ({_ago(until_us, now_us)})"


def _heard(region: Region, name: str, now_us: int) -> str:
    if region.name == name:
        return "-"
    heard_us = next((peer.heard_us for peer in region.peers if peer.name == name), None)
    return "not known" if heard_us is None else f"heard {_ago(heard_us, now_us)}"


def _mirror(region: Region, name: str) -> str:
    if region.name == name:
        return "-"
    behind_s = next((peer.behind_s for peer in region.peers if peer.name == name), None)
    return "not known" if behind_s is None else f"{behind_s:,.1f} s behind"


def _kept(region: Region, stage: str, now_us: int) -> str:
    return "not known" if region.kept is None else f"{getattr(region.kept, stage):,} ({_ago(region.read_us, now_us)})"


def _budget(region: Region, now_us: int) -> str:
    if region.budget_counted is None:
        return "not known"
    spent = "spent, " if region.budget_spent else ""
    age = _ago(region.read_us, now_us)
    return f"{spent}{len(region.budget_counted)} of {region.budget_max} services ({age})"


def _roles(region: Region, now_us: int) -> str:
    known = [role for role in region.roles if role.health is not Health.UNKNOWN]
    if not known:
        return "not known"
    ready = [role for role in known if role.health is Health.READY]
    others = "".join(f", {role.name}: {role.health}" for role in known if role.health is not Health.READY)
    return f"{len(ready)} of {len(known)} ready{others} ({_ago(region.read_us, now_us)})"


# 6 -------------------------------------------------------------------------------------------------------------------


def _next(troubles: tuple[Trouble, ...], unknown: tuple[str, ...]) -> Iterator[str]:
    if troubles:
        first, *others = troubles
        yield f"Read {first.runbook}; look first, which changes nothing: {first.look}"
        later = dict.fromkeys(one.runbook for one in others if one.runbook != first.runbook)
        if later:
            yield f"Then {', '.join(later)}"
        yield "Acknowledge the incident that paged you, so that others know: tocsin incidents ack ID"
    elif unknown:
        yield f"Find out what could not be read: {unknown[0]}"
        yield f"Look first, which changes nothing: {LOOK_AROUND}; then from a machine of that region: tocsin status"
    else:
        yield "None: nothing needs to be done."


# Words ---------------------------------------------------------------------------------------------------------------


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _utc(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _clock(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%H:%M:%SZ")


def _ago(at_us: int, now_us: int) -> str:
    distance_s = abs(now_us - at_us) / 1e6
    for seconds, unit in UNITS:
        if distance_s >= seconds:
            text = f"{int(distance_s // seconds)} {unit}"
            return f"{text} ago" if at_us < now_us else f"in {text}"
    return "now"


def _when(at_us: int, now_us: int) -> str:
    return f"{_utc(at_us)} ({_ago(at_us, now_us)})"


def _source(source: str) -> str:
    return f"{source}, " if source else ""
