"""A support bundle as a file: parts got one after the other within limits, scrubbed, and put into one archive.

It holds a `manifest.json` that says what was taken, what was out of reach and why, and by which rules secrets were
taken out. It appears under its name only when it is whole, readable by its owner alone.
"""

import asyncio
import gzip
import io
import itertools
import json
import os
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from tocsin.config import ConfigError
from tocsin.engines.errors import EngineError
from tocsin.ops import directory as directories
from tocsin.ops.support.known_secrets import addresses, known_secrets
from tocsin.ops.support.parts import PARTS, Member, Part, Place
from tocsin.ops.support.scrubbing import Scrubber

PART_S_MAX: Final = 20.0
MEMBER_BYTES_MAX: Final = 2 * 1024 * 1024
TOTAL_BYTES_MAX: Final = 32 * 1024 * 1024
"""Of all members together, before they are packed."""
DIRECTORY_S_MAX: Final = 5.0
ADDRESSES_MAX: Final = 200
"""So many addresses of the directory are looked for as they are; their shape gives away the others."""
FORMAT: Final = 1
RULES: Final = (
    "settings, password and key files, routing keys, and addresses of webhooks and apprise that are known here",
    "tokens of Tocsin, webhook secrets, private keys, UUIDs, and words of 32 and more letters and digits",
    "of URLs all but scheme and host; of those that are no web addresses the host too",
    "what stands behind a secret's name (password, token, secret, authorization, ...), as in logs",
)


class Bundle(NamedTuple):
    """What was written."""

    path: Path
    members: dict[str, int]
    """Name to size in bytes, before packing."""
    out_of_reach: dict[str, str]
    """Part or member to why it is not there, or not whole."""


async def write(place: Place, out: Path, tell: Callable[[str], None]) -> Bundle:
    """Writes a bundle; `tell` hears of each part. Raises FileExistsError, and OSError where nothing can be written."""
    if out.exists():  # noqa: ASYNC240 - nothing else runs yet
        raise FileExistsError(17, "is there already: name another file with --out", str(out))
    bundle = Bundle(out, {}, {})
    scrubber = Scrubber([*known_secrets(place.settings, place.topology), *await _applied(place)])
    texts: dict[str, bytes] = {}
    for part in PARTS:
        began_us = place.clock_us()
        await _take(part, place, scrubber, texts, bundle)
        why = bundle.out_of_reach.get(part.name)
        seconds = (place.clock_us() - began_us) / 1e6
        tell(f"{part.name}: {f'out of reach: {why}' if why else f'taken in {seconds:.1f} s'}")
    bundle.members.update({name: len(text) for name, text in texts.items()})
    texts["manifest.json"] = _manifest(bundle, place.clock_us())
    await asyncio.to_thread(_pack, out, texts, place.clock_us() // 1_000_000)
    return bundle


async def _applied(place: Place) -> list[str]:
    """Secret addresses of users who were applied to the directory's topic, where that can be read."""
    try:
        async with asyncio.timeout(DIRECTORY_S_MAX), directories.opened(place.settings, place.topology, None) as opened:
            return list(itertools.islice(addresses(opened.directory.users()), ADDRESSES_MAX))
    except (EngineError, ConfigError, TimeoutError):
        return []


async def _take(part: Part, place: Place, scrubber: Scrubber, texts: dict[str, bytes], bundle: Bundle) -> None:
    try:
        async with asyncio.timeout(PART_S_MAX):
            async for member in part.get(place):
                text = await asyncio.to_thread(_text, member, scrubber)
                room = min(MEMBER_BYTES_MAX, TOTAL_BYTES_MAX - sum(map(len, texts.values())))
                if len(text) > room:
                    bundle.out_of_reach[member.name] = f"cut to its last {max(0, room):,} of {len(text):,} bytes"
                    text = text[-room:] if room > 0 else b""
                texts[member.name] = text
    except (EngineError, ConfigError, OSError, ValueError) as error:
        bundle.out_of_reach[part.name] = scrubber.text(str(error))
    except TimeoutError:
        bundle.out_of_reach[part.name] = f"not all of it came within {PART_S_MAX:g} s"


def _text(member: Member, scrubber: Scrubber) -> bytes:
    """A member's bytes, without secrets: lines of a log a line each, any other value as JSON."""
    content: Any = member.content
    if isinstance(content, str):
        text = scrubber.text(content)
    elif isinstance(content, list):
        shown = (
            one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in scrubber.value(content)
        )
        text = "".join(f"{line}\n" for line in shown)
    else:
        text = scrubber.json(content)
    return text.encode("utf-8", "replace")


def _manifest(bundle: Bundle, now_us: int) -> bytes:
    manifest = {
        "format": FORMAT,
        "made_us": now_us,
        "members": bundle.members,
        "out_of_reach": bundle.out_of_reach,
        "taken_out": RULES,
    }
    return json.dumps(manifest, indent=2).encode() + b"\n"


def _pack(out: Path, texts: dict[str, bytes], now_s: int) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=out.name, dir=out.parent)  # readable by its owner alone
    try:
        with (
            os.fdopen(handle, "wb") as file,
            gzip.GzipFile("", "wb", fileobj=file) as packed,
            tarfile.open(fileobj=packed, mode="w|") as archive,
        ):
            for path, text in sorted(texts.items()):
                info = tarfile.TarInfo(f"tocsin-support/{path}")
                info.size, info.mtime, info.mode = len(text), now_s, 0o600
                archive.addfile(info, io.BytesIO(text))
        os.link(name, out)  # unlike a rename it never replaces what came there meanwhile
    finally:
        Path(name).unlink(missing_ok=True)
