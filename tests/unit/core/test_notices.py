"""Notices: one request a covered incident, the same however often it is said, and no step of the fold."""

import json

import pytest

from tests.requests_made import request
from tocsin.core.events import InvalidEvent, entry_of
from tocsin.core.ids import SECONDS_MAX, Parent, RequestKey, digest
from tocsin.core.incidents import Status, entries_in, fold, owner_of
from tocsin.core.notices import NOTIFY, SCHEMA, TEXT_MAX, notice_of, requests_of
from tocsin.core.paging.assignments import Assignment
from tocsin.core.paging.effects import Item
from tocsin.core.paging.feedback import ChannelKey, End, Intent, IntentId, Outcome
from tocsin.core.requests import Request, decode_record, encode_request

AT_US = 1_700_000_100_000_000


def told(
    *openings: Request,
    user: str = "ann",
    method: str = "",
    reason: str = "nobody took it",
    sequence: int = 0,
    at_us: int = AT_US,
    end_us: int = AT_US + 9,
) -> list[Request]:
    """The requests that tell of a page about these incidents."""
    channel = ChannelKey(user, method or "box", "high")
    intent = Intent(IntentId("a", 1, sequence), channel, b"", AT_US - 5, AT_US, 1, "backstop")
    end = End(intent.id, channel, Outcome.FAILED, end_us, method, reason)
    items = [
        Item(Assignment(user, one.key, one.received_us, "triggered", "high", "t", "s", "checkout", 1), is_new=True)
        for one in openings
    ]
    return requests_of(intent, end, items, at_us)


def test_a_notice_says_all_of_the_page_and_belongs_to_its_incident() -> None:
    one, other = request(), request("another")
    made = told(one, other)
    assert [decode_record(encode_request(some)) for some in made] == made
    assert [some.key.parent for some in made] == [one.key.parent, other.key.parent]
    notice = notice_of(entry_of(made[0]))
    assert notice is not None
    assert (notice.event_action, notice.incident_id, notice.bundle) == (NOTIFY, one.key.id, "a-1-0-ann")
    assert (notice.user, notice.method, notice.taken_by, notice.outcome) == ("ann", "box", "", "failed")
    assert (notice.region, notice.place, notice.why, notice.reason) == ("a", 1, "backstop", "nobody took it")
    assert (notice.due_us, notice.at_us, notice.ended_us, notice.size) == (AT_US - 5, AT_US, AT_US + 9, 2)


def test_it_is_the_same_request_in_every_version_of_tocsin() -> None:
    parent = Parent("checkout", "disk")
    opening = Request(RequestKey(parent, 0x6553F16400000001, b"d" * 16), AT_US, "b", 1, b"{}")
    [made] = told(opening)
    assert made == Request(
        RequestKey(parent, 0x6553F164035D4EEF, digest(parent.encode(), made.body)), AT_US, "a", SCHEMA, made.body
    )
    assert json.loads(made.body) == {
        "at_us": AT_US,
        "bundle": "a-1-0-ann",
        "dedup_key": "disk",
        "due_us": AT_US - 5,
        "ended_us": AT_US + 9,
        "event_action": "notify",
        "incident": "0x6553f16400000001",
        "is_new": True,
        "method": "box",
        "outcome": "failed",
        "place": 1,
        "reason": "nobody took it",
        "region": "a",
        "size": 1,
        "taken_by": "",
        "urgency": "high",
        "user": "ann",
        "why": "backstop",
    }
    assert list(json.loads(made.body)) == sorted(json.loads(made.body))


@pytest.mark.parametrize(("end_us", "second"), [(-1, 0), (0, 0), (1_999_999, 1), (2**62, SECONDS_MAX)])
def test_its_id_is_of_the_second_in_which_the_page_ended_as_far_as_ids_reach(end_us: int, second: int) -> None:
    [made] = told(request(), end_us=end_us)
    assert made.key.id >> 32 == second


def test_texts_of_any_length_fit_and_the_longest_are_cut() -> None:
    [made] = told(request(), user="u" * 2_000, method="m" * 2_000, reason="r" * 2_000)
    notice = notice_of(entry_of(made))
    assert notice is not None
    texts = (notice.user, notice.method, notice.taken_by, notice.reason, notice.bundle)
    assert texts == ("u" * TEXT_MAX, "m" * TEXT_MAX, "m" * TEXT_MAX, "r" * TEXT_MAX, f"a-1-0-{'u' * (TEXT_MAX - 6)}")


def test_said_again_it_is_the_same_request_whenever_that_is() -> None:
    opening = request()
    assert told(opening)[0].key == told(opening, at_us=AT_US + 1)[0].key
    other_page, other_user, other = told(opening, sequence=1), told(opening, user="ben"), told(request())
    assert len({some.key for some in (*told(opening), *other_page, *other_user, *other)}) == 4


def test_a_user_partition_s_page_numbers_are_not_another_s() -> None:
    opening = request()
    assert told(opening, user="ann")[0].key.id != told(opening, user="ben")[0].key.id


@pytest.mark.parametrize("status", Status)
def test_it_changes_nothing_of_its_incident_whatever_that_s_status_is(status: Status) -> None:
    requests = [request()]
    requests += [request(action="acknowledge")] if status is not Status.TRIGGERED else []
    requests += [request(action="resolve")] if status is Status.RESOLVED else []
    entries = [entry_of(one) for one in requests]
    notice = entry_of(told(requests[0])[0])
    [before], [after] = fold(entries), fold([*entries, notice])
    assert (after.status, after.key, after.triggers) == (status, before.key, before.triggers)
    assert (after.acknowledged_us, after.resolved_us) == (before.acknowledged_us, before.resolved_us)
    assert after.entries == before.entries + 1
    assert owner_of(notice, [after]) == after
    assert notice in entries_in(after.key, [*entries, notice])


def test_of_an_incident_that_there_is_not_it_opens_none_and_falls_on_none() -> None:
    notice = entry_of(told(request())[0])
    assert fold([notice]) == []
    later = entry_of(request())
    assert [one.entries for one in fold([notice, later])] == [1]
    assert owner_of(notice, fold([later])) is None


@pytest.mark.parametrize("body", [b"[" * 5_000, b"5", b"{}", b'{"incident": "0x1"}', b"\xff"])
def test_a_damaged_one_says_nothing(body: bytes) -> None:
    notice = entry_of(told(request())[0])._replace(body=body)
    assert notice_of(notice) is None


def test_in_a_request_of_an_older_schema_it_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="schema version"):
        entry_of(told(request())[0]._replace(schema=SCHEMA - 1))
