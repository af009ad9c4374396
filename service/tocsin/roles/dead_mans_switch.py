"""The dead-man's switch: a service outside that pages when it is *not* called for a while.

Healthchecks' shape, which most such services take: a GET of a URL with a secret in it (`…/ping/<uuid>`), any 2xx is a
yes. Whoever watches from outside must not depend on anything here; so a call that fails is tried a few times and then
left to them. The URL stands in no message.
"""

import asyncio
import logging
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx2

from tocsin.engines.errors import Misconfigured

TRIES_MAX: Final = 3
CALL_S_MAX: Final = 10.0
PAUSE_S: Final = 1.0
_log = logging.getLogger(__name__)


class DeadMansSwitch:
    """Calls the URL of a file."""

    def __init__(self, file: Path, client: httpx2.AsyncClient, pause_s: float = PAUSE_S) -> None:
        """Raises `Misconfigured` when the file holds no URL."""
        self._url = read_secret(file, "the URL of the dead-man's switch")
        try:
            is_url = urlsplit(self._url).scheme in {"http", "https"} and bool(urlsplit(self._url).hostname)
        except ValueError:
            is_url = False
        if not is_url:
            raise Misconfigured(f"{file} must hold the URL of the dead-man's switch (https://…/ping/<uuid>)")
        self._client = client
        self._pause_s = pause_s

    async def ping(self) -> bool:
        """Calls it, and again after a pause that doubles when that fails; returns whether it said yes."""
        why = ""
        for attempt in range(TRIES_MAX):
            if attempt:
                await asyncio.sleep(self._pause_s * 2 ** (attempt - 1))
            try:
                async with asyncio.timeout(CALL_S_MAX):
                    answer = await self._client.get(self._url)
            except (httpx2.HTTPError, TimeoutError) as error:
                why = type(error).__name__  # its text may have the URL in it
                continue
            if answer.is_success:
                return True
            why = f"HTTP {answer.status_code}"
        extra = {"action": "ping_failed", "tries": TRIES_MAX}
        _log.error("the dead-man's switch was not reached, so it may soon fire: %s", why, extra=extra)
        return False


def read_secret(file: Path, what: str) -> str:
    """The one line that a file holds; raises `Misconfigured`, which does not say what it is."""
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{file}, which should hold {what}, cannot be read: {error}") from error
    if len(text.split()) != 1:
        raise Misconfigured(f"{file} must hold {what} in one line and nothing else")
    return text
