"""`tocsin token`: made and shown once, listed without their secret, ended after a question."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from tocsin.engines.tokens import Scope, TokenFile

Run = Callable[..., Result]


@pytest.fixture
def tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenFile:
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path))
    return TokenFile(tmp_path / "tokens.json")


def test_a_token_is_shown_once_alone_on_stdout_and_works(run: Run, tokens: TokenFile) -> None:
    made = run("token", "create", "--scope", "admin", "--name", "on-call")
    text = made.stdout.strip()
    token = tokens.check(text, 0)
    assert token is not None
    assert (token.scope, token.name) == (Scope.ADMIN, "on-call")
    listed = run("token", "ls")
    assert token.id in listed.stdout
    assert "on-call" in listed.stdout
    assert text.rpartition("_")[2] not in listed.stdout + run("token", "ls", "--json").stdout


def test_a_token_reads_unless_it_is_said_otherwise(run: Run, tokens: TokenFile) -> None:
    assert json.loads(run("token", "create", "--json").stdout)["scope"] == "read"


def test_a_token_can_be_bounded_in_time(run: Run, tokens: TokenFile) -> None:
    made = json.loads(run("token", "create", "--days", "1", "--json").stdout)
    (token,) = tokens.ls()
    assert token.expires_us is not None
    assert token.expires_us - token.created_us == 86_400_000_000
    assert tokens.check(made["token"], token.expires_us) is None


def test_a_token_is_ended_when_it_is_said_twice(run: Run, tokens: TokenFile) -> None:
    made = json.loads(run("token", "create", "--json").stdout)
    unasked = run("token", "revoke", made["id"])
    assert (unasked.exit_code, "--yes" in unasked.stderr) == (2, True)
    assert tokens.check(made["token"], 0) is not None
    ended = run("token", "revoke", made["id"], "--yes", "--json")
    assert json.loads(ended.stdout) == {"id": made["id"], "revoked": True}
    (row,) = json.loads(run("token", "ls", "--json").stdout)
    assert row["state"] == "revoked"


def test_a_token_is_replaced_by_one_like_it_and_both_are_good_for_a_while(run: Run, tokens: TokenFile) -> None:
    old = json.loads(run("token", "create", "--scope", "write", "--service", "demo", "--json").stdout)
    answer = run("token", "rotate", old["id"], "--overlap-hours", "2", "--json")
    new = json.loads(answer.stdout)
    assert "ends in 2 hours" in answer.stderr
    assert (new["scope"], new["services"]) == ("write", ["demo"])

    now_us = tokens.ls()[1].created_us
    assert all(tokens.check(made["token"], now_us) for made in (old, new))
    later_us = now_us + 3 * 3_600_000_000
    assert [tokens.check(made["token"], later_us) is not None for made in (old, new)] == [False, True]
    assert run("token", "rotate", "0" * 16).exit_code == 1


def test_what_is_done_to_tokens_is_in_the_trail_of_each_region_without_the_secret(run: Run, tokens: TokenFile) -> None:
    old = json.loads(run("token", "create", "--name", "deploy", "--json").stdout)
    new = json.loads(run("token", "rotate", old["id"], "--json").stdout)
    run("token", "revoke", new["id"], "--yes")

    rows = json.loads(run("audit", "ls", "--json").stdout)
    assert {row["region"] for row in rows} == {"a", "b"}
    of_a = [row for row in rows if row["region"] == "a"]
    assert [(row["action"], row["token_id"]) for row in of_a] == [
        ("token_created", old["id"]),
        ("token_rotated", new["id"]),
        ("token_revoked", new["id"]),
    ]
    assert of_a[1]["old_id"] == old["id"]
    assert all(row["by"] and row["name"] == "deploy" for row in rows)
    shown = run("audit", "ls", "--region", "b", "--action", "token_rotated", "--limit", "5").stdout
    assert new["id"] in shown
    assert "token_created" not in shown
    everything = shown + json.dumps(rows)
    assert not any(made["token"].rpartition("_")[2] in everything for made in (old, new))


def test_where_nothing_happened_the_trail_says_so(run: Run, tokens: TokenFile) -> None:
    assert "nothing was refused" in run("audit", "ls").stdout + run("audit", "ls").stderr
    assert json.loads(run("audit", "ls", "--json").stdout) == []
    assert run("audit", "ls", "--region", "nowhere").exit_code == 1


def test_to_end_what_is_no_valid_token_is_refused(run: Run, tokens: TokenFile) -> None:
    answer = run("token", "revoke", "0123456789abcdef", "--yes")
    assert answer.exit_code == 1
    assert "no valid token has the id '0123456789abcdef'" in answer.stderr


@pytest.mark.parametrize("name", ["", "a\x1b[2Jb", "x" * 81])
def test_a_name_that_cannot_be_shown_is_a_usage_error(run: Run, tokens: TokenFile, name: str) -> None:
    assert run("token", "create", "--name", name).exit_code == 2
    assert tokens.ls() == []
