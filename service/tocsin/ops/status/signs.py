"""Signs: the one table from facts to words to runbook. A row is what an alert of that name is about, as status sees it.

The rows stand in the order in which they are to be looked at: what keeps people from being told comes first, then what
makes a region useless, then what will cost data, then what waits. The first row that holds is the next thing to do.

Alerts judge over time, from metrics; status judges one moment, from what it reads. So a sign may show minutes before
its alert, and an alert whose matter is a rate (burns of service levels) has no sign of its own.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from tocsin.ops.status.facts import SILENT_S, Facts, Health, Region, Role, State

BACKLOG_S: Final = 120.0
HEADROOM_S: Final = 86_400.0
"""Retention that leaves less than a day to what is not done leaves no time to sleep over it."""
PAGE_LATE_S: Final = 60.0
NEW_S: Final = 86_400.0
"""What happened longer ago was seen by somebody: it is shown, and asks for nobody."""
ASIDE_S: Final = 300.0
CLOCK_OFF: Final = "the clock is off"
"""How roles begin a reason of readiness that is the clock's (`roles/clocks.py`)."""
SYNTHETIC: Final = "synthetic"
SHOWN_MAX: Final = 3


class Seen(NamedTuple):
    """That a sign holds: what of it is particular, since when if that is known (Unix microseconds), and the printed key
    of a request to look at, if there is one.
    """

    what: str
    since_us: int | None = None
    example: str = ""


Sees = Callable[[Facts, Region], Iterable[Seen]]


class Sign(NamedTuple):
    """A row: the alert and runbook of this name, how grave, how it is seen of one region, in words, and how to look.

    `words` takes `{region}` and `{what}`. `look` is a command that changes nothing; it takes `{region}`, `{example}`.
    """

    alert: str
    severity: str
    sees: Sees
    words: str
    look: str

    @property
    def runbook(self) -> str:
        """Where it says what to do."""
        return f"runbooks/{self.alert}.md"


# What can be seen ----------------------------------------------------------------------------------------------------


def _synthetic_missing(_facts: Facts, region: Region) -> Iterator[Seen]:
    for role in region.roles:
        if role.name == SYNTHETIC and role.health is Health.NOT_READY:
            yield Seen("; ".join(role.reasons))


def _budget_spent(_facts: Facts, region: Region) -> Iterator[Seen]:
    if region.budget_spent:
        yield Seen(_few(region.budget_counted or ()), region.condition.since_us)


def _ill(_facts: Facts, region: Region) -> Iterator[Seen]:
    if region.condition.state is State.ILL:
        yield Seen("", region.condition.since_us)


def _clock_off(_facts: Facts, region: Region) -> Iterator[Seen]:
    for role in region.roles:
        for reason in role.reasons:
            if reason.startswith(CLOCK_OFF):
                yield Seen(reason)
                return


def _pages_failing(facts: Facts, region: Region) -> Iterator[Seen]:
    failed = [page for page in facts.paging.pages if page.region == region.name and page.outcome != "delivered"]
    if failed:
        last = failed[0]
        reason = f": {last.reason}" if last.reason else ""
        what = f"{len(failed)} of the last minutes; the latest, to {last.user} by {last.method}, {last.outcome}{reason}"
        yield Seen(what, min(page.at_us for page in failed))


def _pages_late(facts: Facts, region: Region) -> Iterator[Seen]:
    if region.name == facts.paging.region:
        for incident in facts.paging.incidents:
            for one in incident.next:
                if one.at_us is not None and facts.at_us - one.at_us > PAGE_LATE_S * 1e6:
                    yield Seen(f"{one.user} by {one.method} for incident {incident.id}", one.at_us)
                    return
    late = [
        page
        for page in facts.paging.pages
        if page.region == region.name and page.why == "due" and page.at_us - page.due_us > PAGE_LATE_S * 1e6
    ]
    if late:
        what = f"{late[0].user} by {late[0].method}, {(late[0].at_us - late[0].due_us) / 1e6:.0f} s after its moment"
        yield Seen(what, late[-1].due_us)


def _halted(_facts: Facts, region: Region) -> Iterator[Seen]:
    if region.condition.state is State.HALTED and not region.budget_spent:
        why = region.condition.why
        yield Seen(_few(why), region.condition.since_us, why[0].partition(":")[0] if why else "")


def _role_down(facts: Facts, region: Region) -> Iterator[Seen]:
    if region.condition.state is State.DRAINED:
        return  # nobody is asked for what was taken out of service
    if _is_gone(region) and not all(map(_is_gone, facts.regions)):
        return  # of a region that is lost, its peers tell, while there are any
    known = [role for role in region.roles if role.name != SYNTHETIC]
    gone = [role for role in known if role.health is Health.NO_ANSWER]
    is_explained = region.condition.state in {State.ILL, State.HALTED}
    unready = [role for role in known if role.health is Health.NOT_READY and not _is_clock(role) and not is_explained]
    if region.condition.state is State.SILENT and not region.condition.source:
        yield Seen(f"no creator has written anything of {_few(region.condition.why)}", region.condition.since_us)
    if gone or unready:
        names = [f"{role.name} ({role.health}: {_few(role.reasons, 1)})" for role in (*gone, *unready)]
        yield Seen(_few(names))


def _mirror_behind(_facts: Facts, region: Region) -> Iterator[Seen]:
    if region.condition.state is State.DRAINED or _is_gone(region):
        return
    for peer in region.peers:
        if peer.behind_s is not None and peer.behind_s > SILENT_S:
            yield Seen(f"region {peer.name} by {peer.behind_s:.0f} s", peer.heard_us)


def _peer_silent(facts: Facts, region: Region) -> Iterator[Seen]:
    for peer in region.peers:
        if peer.heard_us is None or _is_drained(facts, peer.name) or (peer.behind_s or 0.0) > SILENT_S:
            continue
        if facts.at_us - peer.heard_us > SILENT_S * 1e6:
            yield Seen(f"region {peer.name}", peer.heard_us)


def _headroom_low(_facts: Facts, region: Region) -> Iterator[Seen]:
    if region.headroom_s is not None and region.headroom_s.value < HEADROOM_S:
        yield Seen(f"{region.headroom_s.value / 3600:.1f} h are left to the oldest record that is not done")


def _lost(facts: Facts, region: Region) -> Iterator[Seen]:
    lost = [at_us for at_us in region.lost_us if facts.at_us - at_us < NEW_S * 1e6]
    if lost:
        yield Seen(f"{len(lost)} ranges in the last day", lost[0])


def _too_new(_facts: Facts, region: Region) -> Iterator[Seen]:
    if region.kept is not None and region.kept.too_new:
        yield Seen(str(region.kept.too_new), region.kept.set_aside_since_us)


def _backlog(facts: Facts, region: Region) -> Iterator[Seen]:
    is_explained = region.condition.state in {State.ILL, State.HALTED}
    if region.lag_s is not None and region.lag_s.value > BACKLOG_S and not is_explained:
        yield Seen(f"the oldest is {region.lag_s.value:.0f} s old", facts.at_us - round(region.lag_s.value * 1e6))


def _crashes(_facts: Facts, region: Region) -> Iterator[Seen]:
    if region.kept is not None and region.kept.crashed:
        yield Seen(str(region.kept.crashed))


def _set_aside(facts: Facts, region: Region) -> Iterator[Seen]:
    kept = region.kept
    if kept is None or kept.set_aside_since_us is None or kept.set_aside == kept.too_new:
        return
    if facts.at_us - kept.set_aside_since_us > ASIDE_S * 1e6:
        yield Seen(str(kept.set_aside), kept.set_aside_since_us)


def _quarantined(facts: Facts, region: Region) -> Iterator[Seen]:
    kept = region.kept
    if kept is None or kept.quarantined_latest_us is None:
        return
    if facts.at_us - kept.quarantined_latest_us < NEW_S * 1e6:
        yield Seen(f"{kept.quarantined}, the latest in the last day", kept.quarantined_latest_us)


def _unreachable(facts: Facts, region: Region) -> Iterator[Seen]:
    if facts.paging.unreachable and region.name == facts.paging.region:
        yield Seen(_few(facts.paging.unreachable))


# The table -----------------------------------------------------------------------------------------------------------

SIGNS: Final = (
    Sign(
        "TocsinSyntheticPageMissing",
        "page",
        _synthetic_missing,
        "region {region}: the page that is sent each minute as a trial does not come: {what}",
        "tocsin pages ls --limit 10",
    ),
    Sign(
        "TocsinRegionIll",
        "page",
        _ill,
        "region {region} is ill: its own store answers nothing; peers serve, and it catches up once the store answers",
        "tocsin progress",
    ),
    Sign(
        "TocsinBudgetSpent",
        "page",
        _budget_spent,
        "region {region} stopped skipping requests, its budget is spent; services counted: {what}",
        "tocsin quarantine ls",
    ),
    Sign("TocsinClockOff", "page", _clock_off, "region {region}: {what}", "tocsin region ls"),
    Sign(
        "TocsinRoleDown",
        "page",
        _role_down,
        "region {region}: not at work: {what}",
        "tocsin status --region {region}",
    ),
    Sign(
        "TocsinPagesFailing",
        "page",
        _pages_failing,
        "region {region}: pages do not arrive: {what}",
        "tocsin pages ls --region {region}",
    ),
    Sign(
        "TocsinPagesLate",
        "page",
        _pages_late,
        "region {region}: a page is late: {what}",
        "tocsin pages ls --region {region}",
    ),
    Sign(
        "TocsinRegionHalted",
        "page",
        _halted,
        "region {region} is halted: a peer that serves stored what it refuses: {what}",
        "tocsin ledger explain {example}",
    ),
    Sign(
        "TocsinMirrorBehind",
        "page",
        _mirror_behind,
        "region {region}: the mirror is behind: {what}",
        "tocsin progress",
    ),
    Sign(
        "TocsinPeerSilent",
        "page",
        _peer_silent,
        "region {region} hears nothing of {what}",
        "tocsin region ls",
    ),
    Sign(
        "TocsinRetentionHeadroomLow",
        "page",
        _headroom_low,
        "region {region}: records will be removed unread: {what}",
        "tocsin progress",
    ),
    Sign(
        "TocsinRecordsLost",
        "page",
        _lost,
        "region {region}: retention removed records unread: {what}",
        "tocsin progress",
    ),
    Sign(
        "TocsinRequestsTooNew",
        "page",
        _too_new,
        "region {region}: requests of a schema version above its own are set aside: {what}",
        "tocsin quarantine ls --stage set_aside",
    ),
    Sign(
        "TocsinBacklog",
        "page",
        _backlog,
        "region {region}: requests wait to be stored: {what}",
        "tocsin progress",
    ),
    Sign(
        "TocsinRequestCrashes",
        "ticket",
        _crashes,
        "region {region}: requests that end or hang the process that tries them: {what}",
        "tocsin quarantine ls",
    ),
    Sign(
        "TocsinRequestsSetAside",
        "ticket",
        _set_aside,
        "region {region}: requests are set aside: {what}",
        "tocsin quarantine ls --stage set_aside",
    ),
    Sign(
        "TocsinRequestsQuarantined",
        "ticket",
        _quarantined,
        "region {region}: requests that no region could store are quarantined: {what}",
        "tocsin quarantine ls",
    ),
    Sign(
        "TocsinResponderUnreachable",
        "ticket",
        _unreachable,
        "a responder cannot be reached: {what}",
        "tocsin directory ls",
    ),
)


def _few(texts: Iterable[str], at_most: int = SHOWN_MAX) -> str:
    texts = list(texts)
    more = f" and {len(texts) - at_most} more" if len(texts) > at_most else ""
    return ", ".join(texts[:at_most]) + more


def _is_clock(role: Role) -> bool:
    return all(reason.startswith(CLOCK_OFF) for reason in role.reasons)


def _is_gone(region: Region) -> bool:
    """Whether no process of it answers, of those that are known."""
    known = [role for role in region.roles if role.health is not Health.UNKNOWN]
    return bool(known) and all(role.health is Health.NO_ANSWER for role in known)


def _is_drained(facts: Facts, name: str) -> bool:
    return any(region.name == name and region.condition.state is State.DRAINED for region in facts.regions)
