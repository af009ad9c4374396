"""`verify`: equal stores are equal, and each thing that is not is named by region, key and field."""

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.documents_made import drained
from tests.unit.ops.regions_rows import AT_US, PARTITIONS, complete, garbage, kept, refold, request, store_all, tamper
from tocsin.core.events import entry_of
from tocsin.core.kept import Stage
from tocsin.core.requests import Request
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.store import Lost
from tocsin.ops import scan
from tocsin.ops.comparison import Difference
from tocsin.ops.verify import Outcome, Report, verify

Stores = dict[str, EmbeddedStore]
Paths = dict[str, Path]
LATER_US = AT_US + 3_600_000_000
FILL = [request(number, dedup_key=f"db-{number % 3}") for number in range(12)]
ONE = FILL[4]


async def compare(stores: Stores, *, everything: bool = True) -> Report:
    return await verify(stores, partitions=PARTITIONS, everything=everything)


async def filled(stores: Stores, requests: Iterable[Request] = FILL, until_us: int = LATER_US) -> None:
    for store in stores.values():
        await store_all(store, requests)
        await complete(store, until_us)


def named(report: Report) -> list[tuple[str, str, str, str]]:
    assert report.differing == len(report.differences)
    return [difference[:4] for difference in report.differences]


async def test_equal_stores_are_equal_and_counted(stores: Stores) -> None:
    await filled(stores)
    for everything in (True, False):
        report = await compare(stores, everything=everything)
        assert (report.outcome, report.differences, report.pending) == (Outcome.EQUAL, [], 0)
        assert [(c.entries, c.incidents) for c in report.regions.values()] == [(12, 3), (12, 3)]


async def test_the_order_and_number_of_arrivals_make_no_difference(stores: Stores) -> None:
    await store_all(stores["a"], FILL)
    await store_all(stores["b"], [*reversed(FILL), *FILL])
    assert (await compare(stores)).outcome is Outcome.EQUAL


@pytest.mark.parametrize("region", ["a", "b"])
async def test_a_byte_changed_in_a_body_is_named_with_its_region_key_and_field(
    stores: Stores, paths: Paths, region: str
) -> None:
    await filled(stores)
    body = ONE.body.replace(b"disk 4", b"disk 5")
    tamper(paths[region], "UPDATE entries SET body = ? WHERE digest = ?", body, ONE.key.digest)

    report = await compare(stores, everything=False)

    assert report.outcome is Outcome.DIFFERENT
    assert named(report) == [(region, "entry", ONE.key.printed, "body")]
    assert "does not have the digest of its own key" in report.differences[0].text
    assert "disk 5 is full" in report.differences[0].text
    assert "disk 4 is full" in report.differences[0].text


async def test_a_changed_body_that_opened_an_incident_also_shows_that_the_incident_does_not_follow(
    stores: Stores, paths: Paths
) -> None:
    await filled(stores)
    opening = FILL[0]
    body = opening.body.replace(b"disk 0", b"disk X")
    tamper(paths["b"], "UPDATE entries SET body = ? WHERE digest = ?", body, opening.key.digest)
    assert named(await compare(stores)) == [
        ("b", "entry", opening.key.printed, "body"),
        ("b", "incident", opening.key.printed, "title"),
    ]


@pytest.mark.parametrize(
    ("column", "value"), [("received_us", AT_US + 1), ("region", "z"), ("schema", 2), ("action", "resolve")]
)
async def test_a_changed_field_that_no_digest_tells_names_both_of_two_regions(
    stores: Stores, paths: Paths, column: str, value: object
) -> None:
    await filled(stores)
    tamper(paths["a"], f"UPDATE entries SET {column} = ? WHERE digest = ?", value, ONE.key.digest)
    found = (await compare(stores)).differences[0]
    assert found[:4] == ("a,b", "entry", ONE.key.printed, column)
    assert f"a: {value!r}" in found.text


async def test_of_three_regions_the_one_that_is_outvoted_is_named(stores: Stores, paths: Paths, tmp_path: Path) -> None:
    three = stores | {"c": EmbeddedStore(tmp_path / "c.sqlite")}
    await filled(three)
    tamper(paths["b"], "UPDATE entries SET region = 'z' WHERE digest = ?", ONE.key.digest)
    report = await compare(three)
    await three["c"].close()
    assert named(report) == [("b", "entry", ONE.key.printed, "region")]


async def test_a_missing_row_is_named_with_the_region_that_lacks_it(stores: Stores, paths: Paths) -> None:
    await filled(stores)
    tamper(paths["b"], "DELETE FROM entries WHERE digest = ?", ONE.key.digest)
    report = await compare(stores, everything=False)
    assert named(report)[0] == ("b", "entry", ONE.key.printed, "row")
    assert report.differences[0].text.startswith("is missing; a has it")


async def test_an_extra_row_made_up_by_hand_is_named_with_the_region_that_has_it(stores: Stores, paths: Paths) -> None:
    await filled(stores)
    tamper(
        paths["a"],
        "INSERT INTO entries SELECT parent, id, zeroblob(16), received_us, region, schema, action, body "
        "FROM entries WHERE digest = ?",
        ONE.key.digest,
    )
    extra = ONE.key._replace(digest=bytes(16)).printed
    assert named(await compare(stores))[:2] == [("a", "entry", extra, "body"), ("b", "entry", extra, "row")]


async def test_a_byte_changed_in_an_incident_is_named_with_its_region_key_and_field(
    stores: Stores, paths: Paths
) -> None:
    await filled(stores)
    change_blob(paths["a"], FILL[0], lambda raw: raw.replace(b"disk 0", b"disk 9"))
    report = await compare(stores, everything=False)
    assert named(report) == [("a", "incident", FILL[0].key.printed, "title")]
    assert "is 'disk 9 is full', and 'disk 0 is full' follows from the entries" in report.differences[0].text


async def test_an_incident_that_cannot_be_read_is_named_and_hides_nothing_behind_it(
    stores: Stores, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "PAGE", 2)
    await filled(stores)
    change_blob(paths["a"], FILL[1], lambda raw: b"\xc1" + raw[1:])
    change_blob(paths["a"], FILL[2], lambda raw: raw.replace(b"disk 2", b"disk 9"))
    assert named(await compare(stores)) == [
        ("a", "incident", FILL[1].key.printed, "row"),
        ("a", "incident", FILL[2].key.printed, "title"),
    ]


def change_blob(path: Path, opening: Request, change: Callable[[bytes], bytes]) -> None:
    with sqlite3.connect(path) as connection:
        [(state,)] = connection.execute("SELECT state FROM incidents WHERE digest = ?", (opening.key.digest,))
    connection.close()
    assert change(state) != state
    tamper(path, "UPDATE incidents SET state = ? WHERE digest = ?", change(state), opening.key.digest)


async def test_an_incident_without_its_entries_and_entries_without_their_incident_are_named(
    stores: Stores, paths: Paths
) -> None:
    await filled(stores)
    tamper(paths["a"], "DELETE FROM incidents WHERE digest = ?", FILL[0].key.digest)
    tamper(paths["b"], "DELETE FROM entries WHERE parent = ?", FILL[1].key.parent.place)
    found = named(await compare(stores))
    assert ("a", "incident", FILL[0].key.printed, "row") in found
    assert ("b", "incident", FILL[1].key.printed, "row") in found


async def test_an_entry_whose_key_cannot_be_read_leaves_the_comparison_inconclusive(
    stores: Stores, paths: Paths
) -> None:
    await filled(stores)
    tamper(paths["b"], "UPDATE entries SET parent = x'ff' WHERE digest = ?", FILL[11].key.digest)
    report = await compare(stores)
    assert "cannot be read" in report.unread["b"]
    assert report.outcome is Outcome.DIFFERENT  # it is missing where it belongs


# What is on its way -------------------------------------------------------------------------------------------------


async def test_what_is_young_and_missing_is_not_yet_there_unless_everything_counts(stores: Stores) -> None:
    await filled(stores, FILL[:10], until_us=FILL[10].received_us)
    await store_all(stores["a"], FILL[10:])

    report = await compare(stores, everything=False)
    assert (report.outcome, report.differences) == (Outcome.EQUAL, [])
    assert report.pending > 0
    assert report.complete_until_us == FILL[10].received_us

    found = (await compare(stores)).differences
    assert [d[:4] for d in found if d.kind == "entry"] == [
        ("b", "entry", some.key.printed, "row") for some in sorted(FILL[10:], key=lambda some: some.key)
    ]


async def test_the_least_complete_store_and_source_bound_what_is_compared(stores: Stores) -> None:
    await filled(stores, FILL[:1])
    await store_all(stores["a"], FILL[1:])
    await complete(stores["b"], FILL[1].received_us)
    report = await compare(stores, everything=False)
    assert (report.differences, report.complete_until_us) == ([], FILL[1].received_us)

    await complete(stores["b"], LATER_US, sources=["b"])
    report = await compare(stores, everything=False)
    assert (report.complete_until_us, report.outcome) == (0, Outcome.INCONCLUSIVE)


async def test_requests_that_met_in_one_id_are_both_kept_and_counted(stores: Stores) -> None:
    first, second, other = request(1), request(1, action="resolve"), request(1, dedup_key="elsewhere")
    assert first.key.id == second.key.id == other.key.id
    for store in stores.values():
        await store_all(store, [first, second, other])
    report = await compare(stores)
    assert (report.differences, report.outcome) == ([], Outcome.EQUAL)
    assert {region: (counts.entries, counts.collisions) for region, counts in report.regions.items()} == {
        "a": (3, 1),
        "b": (3, 1),
    }


async def test_a_drained_region_holds_nobody_up(stores: Stores) -> None:
    await filled(stores)
    for store in stores.values():
        await complete(store, LATER_US, sources=["a"])
        await store.put_document(drained("b"))
    assert (await compare(stores, everything=False)).complete_until_us == LATER_US


async def test_a_store_without_progress_is_complete_until_never_so_nothing_is_compared(stores: Stores) -> None:
    for store in stores.values():
        await store_all(store, FILL)
    report = await compare(stores, everything=False)
    assert (report.complete_until_us, report.outcome) == (0, Outcome.INCONCLUSIVE)


async def test_a_byte_changed_in_a_young_body_is_found_all_the_same(stores: Stores, paths: Paths) -> None:
    await filled(stores, until_us=AT_US - 1)
    tamper(paths["a"], "UPDATE entries SET body = ? WHERE digest = ?", b"{}", ONE.key.digest)
    assert named(await compare(stores, everything=False)) == [("a", "entry", ONE.key.printed, "body")]


# What is kept, and marks --------------------------------------------------------------------------------------------


async def test_quarantined_everywhere_is_equal_also_when_nobody_can_read_it(stores: Stores) -> None:
    await filled(stores, FILL[:3])
    for store in stores.values():
        await store.put_kept(kept(garbage(), Stage.QUARANTINED))
        await store.put_kept(kept(ONE, Stage.QUARANTINED))
    report = await compare(stores)
    assert report.outcome is Outcome.EQUAL
    assert [counts.quarantined for counts in report.regions.values()] == [2, 2]


async def test_quarantined_here_and_stored_or_unknown_there_is_a_difference(stores: Stores) -> None:
    await filled(stores, FILL[:3])
    await store_all(stores["a"], [ONE])
    await stores["b"].put_kept(kept(ONE, Stage.QUARANTINED))
    await stores["b"].put_kept(kept(FILL[5], Stage.QUARANTINED))
    found = [d for d in (await compare(stores, everything=False)).differences if d.kind != "incident"]
    assert [(d.region, d.kind, d.key, d.field, d.text) for d in found] == [
        ("a,b", "kept", ONE.key.printed, "stage", "a: stored; b: quarantined"),
        ("a,b", "kept", FILL[5].key.printed, "stage", "a: unknown here; b: quarantined"),
    ]


async def test_a_byte_changed_in_a_quarantined_payload_is_named(stores: Stores) -> None:
    key, record = garbage()
    await stores["a"].put_kept(kept((key, record), Stage.QUARANTINED))
    await stores["b"].put_kept(kept((key, record._replace(value=b"\xfe\x00 no request")), Stage.QUARANTINED))
    assert named(await compare(stores)) == [("a,b", "kept", key.printed, "record.value")]


async def test_one_request_delivered_twice_may_be_kept_with_either_arrival(stores: Stores) -> None:
    await stores["a"].put_kept(kept(ONE, Stage.QUARANTINED))
    await stores["b"].put_kept(kept(ONE._replace(received_us=ONE.received_us + 9, region="b"), Stage.QUARANTINED))
    assert (await compare(stores)).outcome is Outcome.EQUAL


@pytest.mark.parametrize("stage", [Stage.HELD, Stage.ASIDE])
async def test_what_is_held_or_set_aside_is_not_yet_agreed_and_counts_when_everything_does(
    stores: Stores, stage: Stage
) -> None:
    await filled(stores, FILL[:3])
    await store_all(stores["a"], [ONE])
    await stores["b"].put_kept(kept(ONE, stage))
    expected = Difference("b", "kept", ONE.key.printed, stage, "the store refuses this row (a: stored)")

    report = await compare(stores, everything=False)
    assert (report.outcome, report.not_agreed) == (Outcome.EQUAL, [expected])
    assert expected in (await compare(stores)).differences


async def test_dropped_everywhere_is_equal_whether_or_not_its_row_is_there(stores: Stores) -> None:
    await filled(stores, FILL[:3])
    await store_all(stores["a"], [ONE])
    await stores["b"].put_kept(kept(ONE, Stage.DROPPED))
    for store in stores.values():
        await store.mark(ONE.key, 1, dropped=True)
        await refold(store, [entry_of(ONE)])
    report = await compare(stores)
    assert (report.outcome, report.differences) == (Outcome.EQUAL, [])
    assert [counts.dropped for counts in report.regions.values()] == [1, 1]


async def test_a_mark_that_one_region_lacks_is_pending_and_counts_when_everything_does(stores: Stores) -> None:
    await filled(stores)
    await stores["a"].mark(ONE.key, 1, dropped=True)
    await refold(stores["a"], [entry_of(ONE)])
    await stores["b"].mark(FILL[0].key, 2, dropped=False)
    await stores["a"].mark(FILL[0].key, 2, dropped=True)
    marks = [d for d in (await compare(stores)).differences if d.kind == "mark"]
    assert [(d.key, d.text) for d in marks] == [
        (FILL[0].key.printed, "a: dropped by word 2; b: lifted by word 2"),
        (ONE.key.printed, "a: dropped by word 1; b: no mark"),
    ]
    live = await compare(stores, everything=False)
    assert [d.key for d in live.differences if d.kind == "mark"] == [FILL[0].key.printed]


# Stores that do not answer ------------------------------------------------------------------------------------------


async def test_lost_ranges_are_named(stores: Stores) -> None:
    await filled(stores)
    lost = Lost(1, "b", 10, 25, AT_US)
    await stores["a"].put_lost(lost)
    report = await compare(stores)
    assert (report.lost, report.regions["a"].lost) == ({"a": [lost], "b": []}, 15)


async def test_a_store_that_cannot_be_read_leaves_it_inconclusive_and_the_others_counted(
    stores: Stores, tmp_path: Path
) -> None:
    await filled(stores)
    missing = EmbeddedStore(tmp_path / "nowhere.sqlite", read_only=True)
    report = await compare(stores | {"c": missing})
    await missing.close()
    assert report.outcome is Outcome.INCONCLUSIVE
    assert "there is no Tocsin outcome store" in report.unread["c"]
    assert report.regions["a"].entries == 12


async def test_empty_stores_prove_nothing(stores: Stores) -> None:
    assert (await compare(stores)).outcome is Outcome.INCONCLUSIVE


async def test_so_many_differences_are_kept_and_all_are_counted(stores: Stores, paths: Paths) -> None:
    await filled(stores)
    tamper(paths["b"], "UPDATE entries SET body = x'7b7d'")
    report = await verify(stores, partitions=PARTITIONS, everything=True, differences_max=5)
    assert len(report.differences) == 5
    assert report.differing > 12


async def test_progress_is_told_in_rows(stores: Stores) -> None:
    await filled(stores)
    told: list[int] = []
    await verify(stores, partitions=PARTITIONS, told=told.append)
    assert told[-1] == 24
    assert told == sorted(told)
