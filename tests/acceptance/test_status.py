"""`tocsin status` on two live regions: all is well, one region's store answers nothing, one region is gone."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.acceptance.conftest import REPOSITORY, environment, tocsin
from tocsin.engines.faults import Fault, FaultSwitch, Rule
from tocsin.ops.supervisor import LocalSet
from tocsin.settings import Settings

SEEN_S_MAX = 90.0
STATUS_S_MAX = 45.0
"""It is bounded to some ten seconds, on a machine that does nothing else."""
LIMITS = {"grace_s": 1.0, "ask_limit_s": 3.0}


class Ground:
    """Two regions at work, their fault switch, and what `tocsin status` says of them."""

    def __init__(self, local: LocalSet, env: Mapping[str, str], faults: FaultSwitch) -> None:
        self.local = local
        self.env = env
        self.faults = faults

    async def status(self, *words: str) -> tuple[int, str]:
        """Its exit status, and what it says."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tocsin", "status", *words),
            cwd=REPOSITORY,
            env=self.env,
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await asyncio.wait_for(process.communicate(), STATUS_S_MAX)
        assert process.returncode is not None
        return process.returncode, said.decode()

    async def until(self, exit_status: int, *alerts: str) -> dict[str, Any]:
        """What it says once it ends so and tells of exactly these; fails with what it said last."""
        said: dict[str, Any] = {}
        try:
            async with asyncio.timeout(SEEN_S_MAX):
                while True:
                    code, text = await self.status("--json")
                    said = json.loads(text)
                    if code == exit_status and {one["alert"] for one in said["troubles"]} == {*alerts}:
                        return said
        except TimeoutError:
            pytest.fail(f"not within {SEEN_S_MAX:.0f} s; it says {json.dumps(said['troubles'] + said['unknown'])}")


@pytest_asyncio.fixture
async def ground(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Ground]:
    caplog.set_level("WARNING", logger="httpx2")  # a line a request would hide what failed
    given = {
        "TOCSIN_REGION__LIMITS": json.dumps(LIMITS),
        "TOCSIN_FAULTS_FILE": str(tmp_path / "faults.json"),
    }
    env = environment(tmp_path) | given
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load(regions_dir=REPOSITORY / "regions" / "local")
    local = LocalSet(settings)
    await local.start()
    try:
        settings.up_file.write_text(json.dumps(local.published), encoding="utf-8")
        yield Ground(local, env, FaultSwitch(tmp_path / "faults.json"))
    finally:
        await local.stop()


def region(said: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in said["facts"]["regions"] if one["name"] == name)


async def test_status_of_a_live_set_tells_of_what_is_well_ill_and_gone(ground: Ground) -> None:
    well = await ground.until(0)
    assert well["headline"] == "all is well in regions a, b"
    assert {role["health"] for name in "ab" for role in region(well, name)["roles"]} == {"ready"}
    assert all(region(well, name)["complete_until_us"] for name in "ab")
    tocsin(ground.env, "send", "trigger", "--summary", "Disk full", "--source", "db-1", "--severity", "critical")
    while "on-call was paged" not in (await ground.status())[1]:  # noqa: ASYNC110 - other processes set no event
        await asyncio.sleep(0.2)

    away = Rule(id="b-store", region="b", port="store", kind=Fault.TIMEOUT, delay_s=0.5)
    ground.faults.set_rule(away)
    ill = await ground.until(1, "TocsinRegionIll")
    b = region(ill, "b")
    assert b["condition"]["source"].startswith("its heartbeat")
    assert b["condition"]["since_us"] < ill["at_us"]
    assert b["away"]["store"]
    assert region(ill, "a")["condition"]["state"] == "serving"
    assert ill["answers"][5]["lines"][0].startswith("Read runbooks/TocsinRegionIll.md")
    assert "Disk full" in "".join(ill["answers"][1]["lines"])
    ground.faults.clear(away.id)
    await ground.until(0)

    await ground.local.kill_region("b")
    gone = await ground.until(1, "TocsinPeerSilent")
    assert [one["region"] for one in gone["troubles"]] == ["a"]
    alone = json.loads((await ground.status("--json", "--region", "a"))[1])
    assert region(alone, "b")["condition"]["state"] == "silent"
    assert region(alone, "b")["roles"] == []


async def test_status_where_nothing_ever_ran_says_that_it_cannot_tell(tmp_path: Path) -> None:
    env = environment(tmp_path)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tocsin", "status"), cwd=REPOSITORY, env=env, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 3
    assert b"COULD NOT TELL" in said
    assert not (tmp_path / "data").exists()
