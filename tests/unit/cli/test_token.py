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


def test_to_end_what_is_no_valid_token_is_refused(run: Run, tokens: TokenFile) -> None:
    answer = run("token", "revoke", "0123456789abcdef", "--yes")
    assert answer.exit_code == 1
    assert "no valid token has the id '0123456789abcdef'" in answer.stderr


@pytest.mark.parametrize("name", ["", "a\x1b[2Jb", "x" * 81])
def test_a_name_that_cannot_be_shown_is_a_usage_error(run: Run, tokens: TokenFile, name: str) -> None:
    assert run("token", "create", "--name", name).exit_code == 2
    assert tokens.ls() == []
