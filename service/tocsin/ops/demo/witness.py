"""The witness: asks both regions' queriers, while the show goes on, for what was accepted, and records the answers.

Nothing reads its own write, so a request may be missing for a while. It must not be missing from an answer that says
it is complete: that is what the history is then judged by.
"""

import asyncio
from collections import deque
from typing import Final

import httpx2

from tocsin.engines.errors import Unavailable
from tocsin.ops.demo.player import Player
from tocsin.ops.history import Querier, Recorder, get
from tocsin.ops.supervisor import LocalSet

ASK_EVERY_S: Final = 0.1
WANTED_MAX: Final = 50
"""Requests that are asked for by turns until they were found; others are not asked for."""


async def witness(local: LocalSet, player: Player, client: httpx2.AsyncClient, recorder: Recorder, region: str) -> None:
    """Asks one region for the newest accepted request and, by turns, for those that it did not have yet; for ever."""
    wanted: deque[str] = deque()
    newest = ""
    while True:
        await asyncio.sleep(ASK_EVERY_S)
        if player.accepted and player.accepted[-1].request != newest and len(wanted) < WANTED_MAX:
            newest = player.accepted[-1].request
            wanted.appendleft(newest)
        if not wanted:
            continue
        try:
            querier = Querier(region, local.query_url(region), local.token)
        except Unavailable:
            continue  # it is being started
        request = wanted.popleft()
        if not await get(recorder, f"witness-{region}", client, querier, request):
            wanted.append(request)
