"""Histories as files: what a recorder writes is read back, a broken file is named by its line, real stores are read."""

from pathlib import Path

import httpx2
import pytest

from tests.unit.ops.history.made import name, row
from tests.unit.ops.regions_rows import complete, kept, request, store_all, tamper
from tocsin.core.kept import Stage
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.ops.history import BrokenHistory, Call, Kind, Querier, Recorder, Verdict, check_file, get, scan
from tocsin.ops.history.format import FORMAT, Header, History, Info, Invoke, Ok, Part

REGIONS = ("a", "b")
PARTITIONS = 4


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "history.jsonl"


# The recorder --------------------------------------------------------------------------------------------------------


def test_what_was_recorded_is_read_back_in_order(path: Path) -> None:
    with Recorder.open(path, REGIONS, "a test") as recorder:
        op = recorder.invoke(Call.SEND, "client", "a")
        assert recorder.invoke(Call.GET, "reader", "b", request=name(1)) == op + 1
        recorder.ok(op, request=name(1))
        recorder.info(op + 1, "no answer")
        last = recorder.invoke(Call.SCAN, "auditor", "a", final=True)
        recorder.found(last, entries=[row(name(1))], dropped=[name(2)])
        recorder.ok(last, complete_until_us=7)
    history = History(path)
    assert history.header == Header(FORMAT, REGIONS, "a test")
    lines = list(history)
    assert [type(line) for line in lines] == [Invoke, Invoke, Ok, Info, Invoke, Part, Ok]
    assert [line.op for line in lines] == [0, 1, 0, 1, 2, 2, 2]
    assert lines[5] == Part(2, (row(name(1)),), (), (name(2),))
    assert lines[0].at_us <= lines[6].at_us  # type: ignore[union-attr]


def test_each_line_is_in_the_file_before_the_client_goes_on(path: Path) -> None:
    with Recorder.open(path, REGIONS) as recorder:
        recorder.invoke(Call.SEND, "client", "a")
        assert len(path.read_bytes().splitlines()) == 2


# Broken files --------------------------------------------------------------------------------------------------------

INVOKED = b'{"type":"invoke","op":0,"at_us":1,"process":"p","region":"a","call":"send"}\n'
ENDED = b'{"type":"info","op":0,"at_us":1,"reason":"503"}\n'
HEADER = b'{"type":"history","format":1,"regions":["a","b"]}\n'


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "line 1: a history begins with"),
        (INVOKED, "line 1: a history begins with"),
        (HEADER.replace(b":1,", b":2,"), "line 1: this history has format 2, and this version reads 1"),
        (HEADER.replace(b'["a","b"]', b"[]"), "line 1: the history names no region"),
        (HEADER + INVOKED[:-9], "line 2: the line is cut off"),
        (HEADER + b"{}\n", "line 2: is no line of a history"),
        (HEADER + b"\xff\n", "line 2: is no line of a history"),
        (HEADER + b"[" * 100_000 + b"\n", "line 2: is no line of a history"),
        (HEADER + HEADER, "line 2: a second header"),
        (HEADER + ENDED, "line 2: operation 0 was never invoked"),
        (HEADER + INVOKED + INVOKED, "line 3: operation 0 is invoked again"),
        (HEADER + INVOKED + ENDED + ENDED, "line 4: operation 0 ended already"),
    ],
)
def test_a_broken_file_is_named_by_its_line(path: Path, raw: bytes, told: str) -> None:
    path.parent.mkdir()
    path.write_bytes(raw)
    with pytest.raises(BrokenHistory, match=told):
        check_file(path)


# Real stores ---------------------------------------------------------------------------------------------------------

FILL = [request(number, dedup_key=f"db-{number % 3}") for number in range(12)]


async def record(path: Path, stores: dict[str, EmbeddedStore]) -> None:
    with Recorder.open(path, stores) as recorder:
        for one in FILL:
            recorder.ok(recorder.invoke(Call.SEND, "client", "a"), request=one.key.printed)
        for region, store in stores.items():
            await scan(recorder, "auditor", region, store, partitions=PARTITIONS, regions=REGIONS, final=True)


@pytest.fixture
async def filled(stores: dict[str, EmbeddedStore]) -> dict[str, EmbeddedStore]:
    for store in stores.values():
        await store_all(store, FILL)
        await complete(store, FILL[-1].received_us + 60_000_000)
    return stores


async def test_stores_that_have_what_was_sent_are_valid(path: Path, filled: dict[str, EmbeddedStore]) -> None:
    for number in (1, 2):
        await filled["a"].put_kept(kept(request(20 + number), Stage.QUARANTINED))
        await filled["b"].put_kept(kept(request(20 + number), Stage.QUARANTINED))
    await record(path, filled)
    report = check_file(path)
    assert report.verdict is Verdict.VALID, report.describe()
    assert report.recovered == 2
    [until] = {line.complete_until_us for line in History(path) if isinstance(line, Ok) and line.complete_until_us}
    assert until > FILL[-1].received_us


async def test_a_row_that_was_removed_or_changed_in_a_store_is_named(
    path: Path,
    filled: dict[str, EmbeddedStore],
    paths: dict[str, Path],
) -> None:
    tamper(paths["b"], "DELETE FROM entries WHERE digest = ?", FILL[3].key.digest)
    tamper(paths["b"], "UPDATE entries SET body = ? WHERE digest = ?", FILL[4].body + b" ", FILL[4].key.digest)
    await filled["b"].mark(FILL[5].key, 1, dropped=True)
    await record(path, filled)
    named = {(each.kind, each.request, each.region) for each in check_file(path).anomalies}
    assert named == {
        (Kind.SKIPPED, FILL[3].key.printed, "b"),
        (Kind.REWRITTEN, FILL[4].key.printed, "b"),
        (Kind.DIVERGED, FILL[4].key.printed, "a,b"),
        (Kind.DIVERGED, FILL[5].key.printed, "a,b"),
    }


async def test_a_store_that_cannot_be_read_leaves_the_question_open(
    path: Path,
    filled: dict[str, EmbeddedStore],
    paths: dict[str, Path],
) -> None:
    tamper(paths["b"], "UPDATE entries SET parent = x'ff' WHERE digest = ?", FILL[0].key.digest)
    await record(path, filled)
    report = check_file(path)
    assert report.verdict is Verdict.UNKNOWN, report.describe()
    assert report.calls["scan"] == {"ok": 1, "fail": 0, "info": 1}


# Queriers ------------------------------------------------------------------------------------------------------------

UNTIL_US = 1_700_000_000_000_001
UNTIL = {"Tocsin-Complete-Until": "2023-11-14T22:13:20.000001Z", "Tocsin-Drained": "c, d"}
ASKED = FILL[0].key.printed


@pytest.mark.parametrize(
    ("answer", "there", "line"),
    [
        (httpx2.Response(200, headers=UNTIL), True, (True, False, UNTIL_US, ("c", "d"))),
        (httpx2.Response(202, headers=UNTIL), None, (False, True, UNTIL_US, ("c", "d"))),
        (httpx2.Response(404, headers=UNTIL), False, (False, False, UNTIL_US, ("c", "d"))),
        (httpx2.Response(404, headers=UNTIL | {"Tocsin-Set-Aside": ASKED}), None, (False, True, UNTIL_US, ("c", "d"))),
        (httpx2.Response(404, headers={"Tocsin-Complete-Until": "unknown"}), False, (False, False, None, ())),
        (httpx2.Response(503), None, None),
        (httpx2.ReadTimeout("too slow"), None, None),
    ],
)
async def test_an_answer_is_recorded_as_what_it_claims(
    path: Path,
    answer: httpx2.Response | Exception,
    there: object,
    line: tuple[bool, bool, int | None, tuple[str, ...]] | None,
) -> None:
    def respond(asked: httpx2.Request) -> httpx2.Response:
        assert asked.url.path == f"/log_entries/{ASKED}"
        assert asked.headers["authorization"] == "Token token=secret"
        if isinstance(answer, Exception):
            raise answer
        return answer

    with Recorder.open(path, REGIONS) as recorder:
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(respond)) as client:
            querier = Querier("b", "http://b.example.net", "secret")
            assert await get(recorder, "reader", client, querier, ASKED) is there
    invoked, ended = History(path)
    assert isinstance(invoked, Invoke)
    assert (invoked.call, invoked.region, invoked.request) == (Call.GET, "b", ASKED)
    if line is None:
        assert isinstance(ended, Info)
    else:
        assert isinstance(ended, Ok)
        assert (ended.found, ended.pending, ended.complete_until_us, ended.drained) == line
    assert "secret" not in f"{invoked} {ended}"
