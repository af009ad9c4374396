"""The audit trail: what it holds, and that nobody can flood it, break it, or read a secret in it."""

import json
import logging
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tocsin.engines.audit import REFUSALS_PER_MIN_MAX, AuditTrail, Deed, lines


class Clock:
    us = 1_700_000_000_000_000

    def __call__(self) -> int:
        return self.us


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a" / "audit.log"


def test_a_line_says_when_what_and_by_whom_and_the_latest_is_read_first(path: Path, clock: Clock) -> None:
    trail = AuditTrail(path, clock)
    trail.changed(Deed.TOKEN_CREATED, by="ann", token_id="0123", scope="read")
    clock.us += 1
    trail.refused(Deed.DENIED, token_id="0123", needs="write")

    assert list(lines(path)) == [
        {"at_us": clock.us, "action": "denied", "token_id": "0123", "needs": "write"},
        {"at_us": clock.us - 1, "action": "token_created", "by": "ann", "token_id": "0123", "scope": "read"},
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_that_somebody_passes_by_mistake_is_not_written(path: Path, clock: Clock) -> None:
    AuditTrail(path, clock).changed(Deed.ACT, token="tocsin_1_2", authorization="Bearer x", routing_key="k" * 32)

    text = path.read_text(encoding="utf-8")
    assert "tocsin_1_2" not in text
    assert "Bearer" not in text
    assert "kkk" not in text


def test_a_flood_of_refusals_is_bounded_counted_and_drowns_neither_changes_nor_other_refusals(
    path: Path, clock: Clock
) -> None:
    trail = AuditTrail(path, clock)
    for _ in range(1_000):
        trail.refused(Deed.UNAUTHENTICATED, client="203.0.113.7")
    trail.refused(Deed.DENIED)
    for _ in range(100):
        trail.changed(Deed.ACT)
    clock.us += 120_000_000
    trail.refused(Deed.UNAUTHENTICATED, client="203.0.113.7")

    latest, *rest = lines(path)
    assert latest["left_out"] == 1_000 - REFUSALS_PER_MIN_MAX
    assert [line["action"] for line in rest] == ["act"] * 100 + ["denied"] + ["unauthenticated"] * REFUSALS_PER_MIN_MAX


def test_the_file_is_turned_over_and_the_oldest_lines_go(path: Path, clock: Clock) -> None:
    trail = AuditTrail(path, clock, bytes_max=300, files_max=3)
    for number in range(100):
        trail.changed(Deed.ACT, number=number)

    files = sorted(path.parent.glob("audit.log*"))
    assert [file.name for file in files] == ["audit.log", "audit.log.1", "audit.log.2", "audit.log.lock"]
    assert all(file.stat().st_size <= 300 for file in files)
    kept = [line["number"] for line in lines(path)]
    assert kept == list(range(99, 99 - len(kept), -1))
    assert len(kept) > 6


def test_lines_of_several_writers_stay_whole_also_while_the_file_is_turned_over(path: Path, clock: Clock) -> None:
    def write(writer: int) -> None:
        trail = AuditTrail(path, clock, bytes_max=2_000, files_max=100)
        for number in range(50):
            trail.changed(Deed.ACT, writer=writer, number=number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))

    raw = [line for file in path.parent.glob("audit.log*") for line in file.read_text(encoding="utf-8").splitlines()]
    assert {(line["writer"], line["number"]) for line in map(json.loads, raw)} == {
        (writer, number) for writer in range(8) for number in range(50)
    }
    assert len(raw) == 400


def test_a_trail_that_cannot_be_written_stops_nobody_and_the_line_goes_to_the_log(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.write_text("a file where the folder should be", encoding="utf-8")

    AuditTrail(path, clock).changed(Deed.TOKEN_REVOKED, token_id="0123")

    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "takes no lines" in record.getMessage()
    assert vars(record)["token_id"] == "0123"


def test_where_there_is_no_trail_there_are_no_lines_and_damage_is_passed_over(path: Path, clock: Clock) -> None:
    assert list(lines(path)) == []
    AuditTrail(path, clock).changed(Deed.ACT)
    with path.open("ab") as file:
        file.write(b'{"cut\n5\n')

    assert [line["action"] for line in lines(path)] == ["act"]
