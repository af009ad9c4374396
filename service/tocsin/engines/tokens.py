"""Tokens of the REST interface: made, listed, rotated, revoked and checked; hashed at rest.

A token is `tocsin_<id>_<secret>`. The id is public and names the token in lists and logs; the secret is 256 random
bits, of which the file holds the SHA-256 alone. A slow hash would add nothing: it makes *guessable* secrets dear to
guess, and 2^256 cannot be searched at any speed; but it would let anyone who sends rubbish burn a core per request. The
prefix lets scanners of repositories find one that leaked.

To rotate a token is to make another like it, and to let the old one end later: in between both are valid, and whoever
uses it changes over when it suits them.

Every change replaces the file atomically under a lock, and running processes notice within half a second.
"""

import fcntl
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from tocsin.config import ConfigError, Problem
from tocsin.engines.errors import Misconfigured
from tocsin.engines.watched import Watched

FORMAT: Final = 2
"""Of the file as it is written; an older release, which knows no tokens for some services alone, must not read it."""
TOKENS_MAX: Final = 10_000
NAME_LENGTH_MAX: Final = 80
_TEXT: Final = re.compile(r"tocsin_([0-9a-f]{16})_([0-9a-f]{64})\Z")
_NOBODYS_HASH: Final = "0" * 64


class Scope(StrEnum):
    """What a token is good for; each includes those before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def includes(self, needed: "Scope") -> bool:
        """Whether what needs `needed` is allowed."""
        return _RANK[self] >= _RANK[needed]


_RANK: Final = {scope: rank for rank, scope in enumerate(Scope)}


class Token(msgspec.Struct, frozen=True):
    """What is kept of a token; times are Unix microseconds. `secret_hash` is SHA-256 in hex. It is good for the
    `services` that it names, by id, and for all when it names none.
    """

    id: str
    name: str
    scope: Scope
    secret_hash: str
    created_us: int
    expires_us: int | None = None
    revoked_us: int | None = None
    services: tuple[str, ...] = ()

    def is_valid(self, now_us: int) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_us is None and (self.expires_us is None or now_us < self.expires_us)


class _File(msgspec.Struct, frozen=True):
    format: int
    tokens: tuple[Token, ...]


class TokenFile:
    """The tokens of one file; a missing file holds none, so nobody gets in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._watched: Watched[dict[str, Token]] = Watched(path, self._parse, missing={})

    # For the querier ---------------------------------------------------------------------------------------------

    def check(self, text: str, now_us: int) -> Token | None:
        """The valid token that this is the text of. Takes the same time for a wrong secret as for an unknown id.

        Raises ConfigError while the file never held tokens that could be read.
        """
        match = _TEXT.match(text)
        if not match:
            return None
        token = self._watched.get().get(match[1])
        kept = token.secret_hash if token else _NOBODYS_HASH
        is_right = hmac.compare_digest(_hash(match[2]), kept)
        return token if token and is_right and token.is_valid(now_us) else None

    @property
    def problems(self) -> list[str]:
        """Why the tokens may not be up to date, empty when they are."""
        return self._watched.problems

    # For the command line ----------------------------------------------------------------------------------------

    def create(
        self,
        name: str,
        scope: Scope,
        *,
        now_us: int,
        expires_us: int | None = None,
        services: tuple[str, ...] = (),
    ) -> tuple[Token, str]:
        """A new token and its text, which is shown this once.

        Raises ValueError for a name that cannot be shown, `Misconfigured` when there are too many tokens.
        """
        if not 0 < len(name) <= NAME_LENGTH_MAX or not name.isprintable():
            raise ValueError(f"a token's name has 1 to {NAME_LENGTH_MAX} printable characters, not {name[:100]!r}")
        token, text = _made(name, scope, now_us, expires_us, services)
        with self._changing() as tokens:
            self._make_room(tokens, now_us)
            tokens[token.id] = token
        return token, text

    def rotate(self, id: str, *, now_us: int, overlap_us: int) -> tuple[Token, str] | None:
        """A new token like the valid one of this id, which ends after the overlap; None when there is no valid one.

        One that was to last for a time is followed by one that lasts as long. Raises `Misconfigured` as `create`.
        """
        with self._changing() as tokens:
            old = tokens.get(id)
            if old is None or not old.is_valid(now_us):
                return None
            lasts_us = None if old.expires_us is None else old.expires_us - old.created_us
            expires_us = None if lasts_us is None else now_us + lasts_us
            token, text = _made(old.name, old.scope, now_us, expires_us, old.services)
            self._make_room(tokens, now_us)
            ends_us = now_us + overlap_us
            tokens[id] = msgspec.structs.replace(
                old, expires_us=ends_us if old.expires_us is None else min(ends_us, old.expires_us)
            )
            tokens[token.id] = token
        return token, text

    def _make_room(self, tokens: dict[str, Token], now_us: int) -> None:
        if len(tokens) >= TOKENS_MAX:
            for ended in [token.id for token in tokens.values() if not token.is_valid(now_us)]:
                del tokens[ended]
        if len(tokens) >= TOKENS_MAX:
            raise Misconfigured(f"{self._path} holds {TOKENS_MAX} valid tokens, the most there can be: revoke some")

    def ls(self) -> list[Token]:
        """All tokens, revoked and expired ones too, oldest first. Raises ConfigError when the file is unusable."""
        return sorted(self._now().values(), key=lambda token: (token.created_us, token.id))

    def revoke(self, id: str, *, now_us: int) -> bool:
        """Ends a token for good; whether there was a valid one of this id."""
        with self._changing() as tokens:
            token = tokens.get(id)
            if token is None or not token.is_valid(now_us):
                return False
            tokens[id] = msgspec.structs.replace(token, revoked_us=now_us)
        return True

    # The file ----------------------------------------------------------------------------------------------------

    def _now(self) -> dict[str, Token]:
        try:
            return self._parse(self._path.read_bytes())
        except FileNotFoundError:
            return {}

    def _parse(self, raw: bytes) -> dict[str, Token]:
        try:
            file = msgspec.json.decode(raw, type=_File)
        except (ValueError, RecursionError) as error:
            what = f"does not hold tokens: {error}. Restore it, or delete it and make new tokens"
            raise ConfigError([Problem(str(self._path), "", what)]) from error
        if file.format not in (1, FORMAT):
            what = f"has format {file.format}; this version reads formats up to {FORMAT}"
            raise ConfigError([Problem(str(self._path), "format", what)])
        return {token.id: token for token in file.tokens}

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Token]]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_name(self._path.name + ".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self._now()
            tokens = dict(before)
            yield tokens
            if tokens != before:
                self._replace(tokens)

    def _replace(self, tokens: dict[str, Token]) -> None:
        raw = msgspec.json.format(msgspec.json.encode(_File(FORMAT, tuple(tokens.values()))), indent=2)
        handle, name = tempfile.mkstemp(prefix=self._path.name, dir=self._path.parent)  # readable by its owner alone
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        self._watched.look_again()


def _made(name: str, scope: Scope, now_us: int, expires_us: int | None, services: tuple[str, ...]) -> tuple[Token, str]:
    id, secret = secrets.token_hex(8), secrets.token_hex(32)
    return Token(id, name, scope, _hash(secret), now_us, expires_us, None, services), f"tocsin_{id}_{secret}"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
