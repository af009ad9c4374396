"""Facts of two regions, a and b, as tests change them."""

from typing import Any

from msgspec import structs

from tocsin.ops.status.facts import (
    Change,
    Condition,
    Entry,
    Facts,
    Figure,
    Health,
    Incident,
    Kept,
    Next,
    Page,
    Paging,
    Peer,
    Region,
    Role,
    State,
)

S = 1_000_000
NOW_US = 1_700_000_000 * S
PEER = {"a": "b", "b": "a"}
ROLES = ("creator", "intake", "querier", "notifier")


def region(name: str, **given: Any) -> Region:
    """A region that is well, but for what is given."""
    well: dict[str, Any] = {
        "condition": Condition(state=State.SERVING, at_us=NOW_US - S),
        "lag_records": Figure(4, NOW_US),
        "lag_s": Figure(0.4, NOW_US),
        "complete_until_us": NOW_US - 8 * S,
        "kept": Kept(),
        "budget_counted": (),
        "budget_max": 5,
        "peers": [Peer(PEER[name], NOW_US - 2 * S, 0.3)],
        "roles": [Role(role, Health.READY) for role in ROLES],
        "read_us": NOW_US,
    }
    return Region(name=name, **(well | given))


def facts(*, a: Region | None = None, b: Region | None = None, **given: Any) -> Facts:
    """Facts of both regions; well, but for what is given."""
    well: dict[str, Any] = {"paging": Paging(region="a"), "entries": []}
    return Facts(at_us=NOW_US, regions=[a or region("a"), b or region("b")], **(well | given))


def page(**given: Any) -> Page:
    """A page that arrived in time."""
    return structs.replace(
        Page(
            user="kim",
            method="phone",
            outcome="delivered",
            region="a",
            at_us=NOW_US - 110 * S,
            due_us=NOW_US - 111 * S,
            why="due",
        ),
        **given,
    )


def incident(**given: Any) -> Incident:
    """An open incident of which Kim was told, and of which Lee will be."""
    told = Incident(
        id="0x6553f0840f0e0d0c",
        title="Disk full on db-1",
        service="database",
        urgency="high",
        created_us=NOW_US - 120 * S,
        pages=(page(),),
        next=(Next(user="lee", method="mail", at_us=NOW_US + 180 * S, because="the rule is due then"),),
    )
    return structs.replace(told, **given)


def busy() -> Facts:
    """An ordinary day: two incidents, somebody changed something, and all is well."""
    acknowledged = incident(
        id="0x6553e4440f0e0d0c",
        title="Slow checkout",
        service="checkout",
        created_us=NOW_US - 3_700 * S,
        acknowledged_us=NOW_US - 3_600 * S,
        acknowledged_by="kim@example.org",
        next=(),
    )
    paging = Paging(
        region="a",
        triggered=1,
        acknowledged=1,
        oldest_us=acknowledged.created_us,
        incidents=[incident(), acknowledged],
        pages=[page()],
    )
    return facts(
        paging=paging,
        changes=[Change(at_us=NOW_US - 7_200 * S, by="kim@ops-1", what="said joined of region b: it has caught up")],
        entries=[
            Entry(at_us=NOW_US - 120 * S, region="a", what="trigger (database, disk/db-1): Disk full on db-1"),
            Entry(at_us=NOW_US - 109 * S, region="a", what="page to kim by phone: delivered (database, disk/db-1)"),
        ],
    )


def store_down() -> Facts:
    """Region b's store answers nothing; what is known of it, it says itself and its log has."""
    ill = Region(
        name="b",
        condition=Condition(
            state=State.ILL,
            at_us=NOW_US - 2 * S,
            source="its heartbeat in the log of region a",
            since_us=NOW_US - 190 * S,
        ),
        lag_records=Figure(1_520, NOW_US),
        lag_s=Figure(190.0, NOW_US),
        budget_max=5,
        peers=[Peer("a", NOW_US - S, 0.2)],
        roles=[
            Role("creator", Health.NOT_READY, ("the store answers nothing",)),
            Role("intake", Health.READY),
            Role("querier", Health.NOT_READY, ("the store does not answer: no answer in time",)),
            Role("notifier", Health.READY),
        ],
        read_us=NOW_US,
        away={"store": "no answer within 4 s"},
    )
    found = busy()
    found.regions[1] = ill
    return found


def nothing_answers() -> Facts:
    """Neither a store nor a log can be reached from here."""
    away = {"store": "no answer within 4 s", "log": "no answer within 4 s"}
    return Facts(
        at_us=NOW_US,
        regions=[Region(name=name, peers=[Peer(PEER[name], None, None)], away=away) for name in "ab"],
    )
