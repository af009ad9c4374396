"""What a user partition says: whether it could be said, and for how long a refusal shows."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tocsin.core.paging.feedback import ChannelKey, Intent, IntentId
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.errors import Unavailable
from tocsin.engines.topics import make_topics
from tocsin.roles import page_scribe
from tocsin.roles.fence import Fence
from tocsin.roles.page_scribe import PageScribe
from tocsin.topology import EmbeddedLog as LogOfRegion
from tocsin.topology import Region, SqliteStack

SHOWS_S = 0.2


def intent(sequence: int) -> Intent:
    return Intent(IntentId("a", 1, sequence), ChannelKey("ann", "phone", "high"), bytes(8), 0, 0, 0, "due")


async def test_a_refusal_shows_and_is_forgotten_though_nothing_more_is_to_be_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_scribe, "REFUSED_SHOWS_S", SHOWS_S)
    region = Region(
        name="a",
        partitions=1,
        log=LogOfRegion(engine="embedded", path=Path("log.sqlite"), retention_s=3600),
        stacks={"blue": SqliteStack(engine="sqlite", path=Path("blue.sqlite"))},
        serving_stack="blue",
        directory=Path("directory.yaml"),
    )
    log, store = EmbeddedLog(tmp_path / "log.sqlite"), EmbeddedStore(tmp_path / "blue.sqlite")
    await make_topics(log, region)
    fence = Fence(store, await log.claim("notifier", 0))
    answers: asyncio.Queue[tuple[Sequence[IntentId], bool]] = asyncio.Queue()
    scribe = PageScribe(log, region, 0, fence, lambda ids, said: answers.put_nowait((ids, said)))
    running = asyncio.create_task(scribe.run())

    async def refuse() -> None:
        raise Unavailable("the store is away")

    with monkeypatch.context() as broken:
        broken.setattr(fence, "hold", refuse)
        scribe.say_intents([intent(0)])
        assert await answers.get() == ([intent(0).id], False)
    shown = [scribe.is_failing]
    await asyncio.sleep(2 * SHOWS_S)
    shown.append(scribe.is_failing)
    scribe.say_intents([intent(1)])
    assert await answers.get() == ([intent(1).id], True)
    assert [*shown, scribe.is_failing] == [True, False, False]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await log.close()
    await store.close()
