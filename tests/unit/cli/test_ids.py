"""`tocsin id`: minted ids differ and name their time; what is no id is refused."""

import json
import time
from collections.abc import Callable

import pytest
from typer.testing import Result

from tocsin.core.ids import id_seconds, parse_id

Run = Callable[..., Result]


def test_minted_ids_are_of_this_moment_and_all_different(run: Run) -> None:
    before = int(time.time())
    minted = json.loads(run("id", "new", "--count", "1000", "--json").stdout)

    assert len(set(minted)) == 1000
    assert all(before <= id_seconds(parse_id(name)) <= time.time() for name in minted)


def test_a_minted_id_can_be_explained(run: Run) -> None:
    result = run("id", "explain", run("id", "new").stdout.strip())

    assert result.exit_code == 0
    assert "now)" in result.stdout or "s ago)" in result.stdout


def test_an_id_tells_its_time_and_its_random_bits(run: Run) -> None:
    assert json.loads(run("id", "explain", "0x5d684054fc3540a0", "--json").stdout) == {
        "id": "0x5d684054fc3540a0",
        "time": "2019-08-29T21:15:00Z",
        "unix_s": 1567113300,
        "random_bits": "0xfc3540a0",
    }


def test_for_people_the_age_stands_beside_the_time(run: Run) -> None:
    assert "2019-08-29T21:15:00Z (" in run("id", "explain", "0x5d684054fc3540a0").stdout


def test_a_printed_request_key_is_taken_too(run: Run) -> None:
    fields = json.loads(run("id", "explain", "0x5d684054fc3540a0.0123456789ab", "--json").stdout)

    assert (fields["unix_s"], fields["digest_starts"]) == (1567113300, "0123456789ab")


@pytest.mark.parametrize(
    "name", ["", "5d684054fc3540a0", "0x5D684054FC3540A0", "0x5d68", "0x5d684054fc3540a0.01", "0x5d684054fc3540a0."]
)
def test_what_is_no_id_is_wrong_usage(run: Run, name: str) -> None:
    result = run("id", "explain", name)

    assert result.exit_code == 2
    assert "expected 0x" in result.stderr


@pytest.mark.parametrize(("n", "odds"), [(1, 0.0), (2, 2**-32), (10, 1.0477e-8), (1000, 1.16292e-4)])
def test_the_odds_are_those_of_the_birthday_problem(run: Run, n: int, odds: float) -> None:
    fields = json.loads(run("id", "odds", str(n), "--json").stdout)

    assert fields["odds"] == pytest.approx(odds, rel=1e-4)


def test_odds_are_told_in_words(run: Run) -> None:
    assert "1 in 8,599" in run("id", "odds", "1000").stdout
    assert "-0" not in run("id", "odds", "1").stdout


@pytest.mark.parametrize("n", ["0", "-1", "ten", str(2**32 + 1)])
def test_odds_of_no_sensible_number_are_wrong_usage(run: Run, n: str) -> None:
    assert run("id", "odds", "--", n).exit_code == 2
