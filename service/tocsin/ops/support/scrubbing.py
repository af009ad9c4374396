"""Scrubbing: taking secrets out of texts that leave the installation, whoever put them there and wherever.

Theory
------
A rule about *names* ("what follows `password=`") cannot know a secret that stands alone in a sentence, and a rule about
*shapes* cannot know a password. So three rules are laid over each other. What is known to be secret here, because a
setting or a file says so, goes in every spelling that a log or a JSON text may give it. What has the shape of a secret
(a token, a key of 32 characters, a path or a name in a URL) goes too. And what stands behind a secret's name goes by
the rule of the logs. Rather too much than too little: what is taken out leaves a word that is the same for the same
secret within one bundle, so that lines which belong together can still be told.
"""

import base64
import json
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import quote, quote_plus

from tocsin.telemetry import redacted

LENGTH_MIN: Final = 4
"""What is shorter is no secret, and would take every other word with it."""
BINARY_LENGTH_MIN: Final = 16
_PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_SHAPES: Final = re.compile(
    r"tocsin_[0-9a-f]{8,}(?:_[0-9a-f]+)?"
    r"|whsec_[A-Za-z0-9+/=_-]+"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|[0-9A-Za-z]{32,}"
)
_URL: Final = re.compile(r"\b([a-zA-Z][a-zA-Z0-9+.-]{1,20})://([^\s\"'<>\\]+)")
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?\Z")
_PLAIN_PATH: Final = re.compile(r"(?:/(?:health|live|ready|metrics|v2|enqueue|incidents|log_entries))*/?\Z")
_CREDENTIAL: Final = re.compile(r"\b(basic|bearer)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE)


class Scrubber:
    """Takes secrets out. `known` are texts and bytes that are secret here."""

    def __init__(self, known: Iterable[str | bytes]) -> None:
        self._salt = secrets.token_bytes(16)
        spellings = {spelling: _bytes(one) for one in known for spelling in _spellings(one)}
        # A secret that has another one in it goes first.
        self._known = sorted(spellings.items(), key=lambda item: len(item[0]), reverse=True)

    def text(self, text: str) -> str:
        """The text without secrets."""
        text = self._without_known(text)
        text = _PRIVATE_KEY.sub("[redacted key]", text)
        text = _URL.sub(self._url, text)
        text = _SHAPES.sub(lambda found: self._word(found[0].encode()), text)
        text = _CREDENTIAL.sub(r"\1 [redacted]", text)
        return "\n".join(str(redacted(line)) for line in text.split("\n"))

    def value(self, value: Any) -> Any:
        """A JSON value without secrets, in its names too."""
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self.text(str(name)): self._member(str(name), inner) for name, inner in value.items()}
            case list() | tuple():
                return [self.value(inner) for inner in value]
        return value

    def json(self, value: Any) -> str:
        """A JSON value without secrets, as text."""
        return json.dumps(self.value(value), indent=2, ensure_ascii=False) + "\n"

    def _member(self, name: str, value: Any) -> Any:
        by_name = redacted({name: None})[name]  # the rule of the logs: anything but what was given is in its place
        return self.value(value) if by_name is None else by_name

    def _without_known(self, text: str) -> str:
        for spelling, secret in self._known:
            if spelling in text:
                text = text.replace(spelling, self._word(secret))
        return text

    def _word(self, secret: bytes) -> str:
        """What stands in a secret's place: the same word for the same secret, and of no use to find it."""
        return f"[redacted {blake2b(secret, digest_size=3, key=self._salt).hexdigest()}]"

    def _url(self, found: re.Match[str]) -> str:
        """Of a web address scheme and host; of any other (in apprise's the host is a token) the scheme."""
        scheme, rest = found[1].lower(), found[2]
        if scheme not in {"http", "https"}:
            return f"{scheme}://[redacted]"
        end = min((at for mark in "/?#" if (at := rest.find(mark)) >= 0), default=len(rest))
        authority, path = rest[:end].rpartition("@")[2], rest[end:]
        if "@" in path or not _HOST.match(authority.rstrip(".,;:)")):
            return f"{scheme}://[redacted]"
        return f"{scheme}://{authority}{path if _PLAIN_PATH.match(path.rstrip('.,;:)')) else '/[redacted]'}"


def _spellings(secret: str | bytes) -> Iterator[str]:
    """What a secret may look like in a text."""
    raw = _bytes(secret)
    if len(raw) < LENGTH_MIN:
        return
    forms: list[Callable[[str], str]] = [
        str,
        quote,
        quote_plus,
        lambda text: quote(text, safe=""),
        lambda text: json.dumps(text)[1:-1],
        lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
        lambda text: repr(text)[1:-1],
    ]
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        pass
    else:
        yield from {form(text) for form in forms}
    if len(raw) >= BINARY_LENGTH_MIN or isinstance(secret, str):
        yield from (raw.hex(), raw.hex().upper())
        for code in (base64.b64encode, base64.urlsafe_b64encode):
            yield code(raw).decode()
            yield code(raw).decode().rstrip("=")


def _bytes(secret: str | bytes) -> bytes:
    return secret if isinstance(secret, bytes) else secret.encode("utf-8", "surrogateescape")
