"""Tokens: who gets in, until when, and what the file gives away."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tocsin.config import ConfigError
from tocsin.engines import tokens as module
from tocsin.engines.errors import Misconfigured
from tocsin.engines.tokens import Scope, TokenFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "region" / "tokens.json"


def test_a_token_is_known_by_its_whole_text_only(path: Path) -> None:
    tokens = TokenFile(path)
    token, text = tokens.create("dashboard", Scope.READ, now_us=5)
    prefix, id, secret = text.split("_")
    other = "0" * 64 if secret != "0" * 64 else "1" * 64

    assert tokens.check(text, 6) == token
    for wrong in ("", text + "0", text[:-1], f"{prefix}_{id}_{other}", f"{prefix}_{'0' * 16}_{secret}", f" {text}",
                  f"{text}\n", secret, id):  # fmt: skip
        assert tokens.check(wrong, 6) is None


def test_the_file_is_its_owners_alone_and_holds_no_secret(path: Path) -> None:
    _, text = TokenFile(path).create("dashboard", Scope.READ, now_us=5)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert text.rpartition("_")[2] not in path.read_text(encoding="utf-8")


def test_a_token_ends_when_it_expires(path: Path) -> None:
    tokens = TokenFile(path)
    token, text = tokens.create("shift", Scope.READ, now_us=5, expires_us=100)

    assert tokens.check(text, 99) == token
    assert tokens.check(text, 100) is None


def test_a_revoked_token_ends_at_once_also_for_who_reads_the_file_elsewhere(path: Path) -> None:
    here, elsewhere = TokenFile(path), TokenFile(path)
    token, text = here.create("laptop", Scope.WRITE, now_us=5)
    assert elsewhere.check(text, 6) == token

    assert here.revoke(token.id, now_us=7)
    assert not here.revoke(token.id, now_us=8)
    assert not here.revoke("0" * 16, now_us=8)

    assert here.check(text, 9) is None
    elsewhere._watched.look_again()
    assert elsewhere.check(text, 9) is None
    assert [(listed.id, listed.revoked_us) for listed in here.ls()] == [(token.id, 7)]


def test_a_token_is_replaced_without_an_interruption(path: Path) -> None:
    tokens = TokenFile(path)
    old, old_text = tokens.create("deploy", Scope.WRITE, now_us=100, services=("demo",))

    made = tokens.rotate(old.id, now_us=1_000, overlap_us=50)
    assert made is not None
    new, text = made

    assert (new.name, new.scope, new.services) == (old.name, old.scope, old.services)
    assert tokens.check(text, 1_000) == new
    for at, is_valid in ((1_049, True), (1_050, False)):
        assert (tokens.check(old_text, at) is not None) == is_valid
        assert tokens.check(text, at) == new


@pytest.mark.parametrize(("overlap_us", "ends_us"), [(50, 1_050), (10_000, 5_100)])
def test_a_token_with_an_end_is_followed_by_one_that_lasts_as_long_and_never_lives_longer_for_it(
    path: Path, overlap_us: int, ends_us: int
) -> None:
    tokens = TokenFile(path)
    old, _ = tokens.create("deploy", Scope.WRITE, now_us=100, expires_us=5_100)

    made = tokens.rotate(old.id, now_us=1_000, overlap_us=overlap_us)

    assert made is not None
    assert [(token.created_us, token.expires_us) for token in tokens.ls()] == [(100, ends_us), (1_000, 6_000)]


def test_what_is_no_valid_token_is_not_replaced(path: Path) -> None:
    tokens = TokenFile(path)
    ended, _ = tokens.create("old", Scope.READ, now_us=1, expires_us=2)

    assert tokens.rotate(ended.id, now_us=3, overlap_us=50) is None
    assert tokens.rotate("0" * 16, now_us=3, overlap_us=50) is None
    assert len(tokens.ls()) == 1


def test_a_file_of_the_first_format_is_read_and_written_anew_in_the_second(path: Path) -> None:
    tokens = TokenFile(path)
    token, text = tokens.create("dashboard", Scope.READ, now_us=5)
    path.write_text(path.read_text(encoding="utf-8").replace('"format": 2', '"format": 1'), encoding="utf-8")
    tokens._watched.look_again()

    assert tokens.check(text, 6) == token
    tokens.create("other", Scope.READ, now_us=6)
    assert '"format": 2' in path.read_text(encoding="utf-8")


def test_without_a_file_nobody_gets_in(path: Path) -> None:
    tokens = TokenFile(path)
    _, text = tokens.create("x", Scope.ADMIN, now_us=5)
    path.unlink()
    tokens._watched.look_again()

    assert tokens.check(text, 6) is None
    assert tokens.ls() == []


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("needed", Scope)
def test_a_scope_includes_those_before_it(scope: Scope, needed: Scope) -> None:
    order = [Scope.READ, Scope.WRITE, Scope.ADMIN]

    assert scope.includes(needed) == (order.index(needed) <= order.index(scope))


def test_tokens_that_are_made_at_one_time_are_all_kept(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: TokenFile(path).create(f"t{n}", Scope.READ, now_us=n), range(40)))

    assert [token.name for token in TokenFile(path).ls()] == [f"t{n}" for n in range(40)]
    assert all(TokenFile(path).check(text, 50) == token for token, text in made[:3])


def test_room_is_made_by_forgetting_tokens_that_ended(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOKENS_MAX", 2)
    tokens = TokenFile(path)
    tokens.create("old", Scope.READ, now_us=1, expires_us=2)
    tokens.create("kept", Scope.READ, now_us=1)

    tokens.create("new", Scope.READ, now_us=3)

    assert {token.name for token in tokens.ls()} == {"kept", "new"}
    with pytest.raises(Misconfigured, match=r"2 valid tokens.*revoke some"):
        tokens.create("one more", Scope.READ, now_us=3)


@pytest.mark.parametrize("name", ["", "x" * 81, "a\nb"])
def test_a_name_that_cannot_be_shown_is_refused(path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="printable characters"):
        TokenFile(path).create(name, Scope.READ, now_us=1)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"{", "does not hold tokens"), (b"\xff", "does not hold tokens"), (b'{"format":3,"tokens":[]}', "has format 3")],
)
def test_a_damaged_file_is_named_and_nothing_is_written_over_it(path: Path, content: bytes, complaint: str) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    tokens = TokenFile(path)

    with pytest.raises(ConfigError, match=complaint):
        tokens.ls()
    with pytest.raises(ConfigError, match=complaint):
        tokens.create("x", Scope.READ, now_us=1)
    with pytest.raises(ConfigError, match=complaint):
        tokens.check(f"tocsin_{'0' * 16}_{'0' * 64}", 1)
    assert path.read_bytes() == content
