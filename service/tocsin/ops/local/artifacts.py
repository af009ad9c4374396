"""The jars of the servers, through Maven, and the Java that runs them.

Each kind of server has a pom in `poms/` that pins its version. Maven copies what the pom names, and all that needs, to
a folder of the user's cache that is named by the hash of the pom. A folder of that name is whole: it is filled under
another name and renamed. So a second start runs no Maven and needs no network, a changed pom is another folder, and
all checkouts on a machine share one copy.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator, Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

from tocsin.engines.errors import Misconfigured, Unavailable
from tocsin.ops.local.tether import tethered

JAVA: Final = 17
"""The one version that Kafka 4 (17 and newer) and Cassandra 5.0 (11 and 17) both run on."""
MAVEN_MIN: Final = (3, 6, 3)
"""The oldest that the plugin runs on."""
PLUGIN: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.9.0:copy-dependencies"
MAVEN_S_MAX: Final = 600.0
"""A slow network may need minutes for the first start."""
VERSION_S_MAX: Final = 30.0
LOOK_EVERY_S: Final = 0.2
WORDS_SHOWN_MAX: Final = 2_000
"""Of what Maven said, so many characters are shown, its last."""
POMS: Final = Path(__file__).parent / "poms"
Tell = Callable[[str], None]


class Kind(StrEnum):
    """A kind of server: the name of its pom."""

    KAFKA = "kafka"
    MIRRORMAKER = "mirrormaker"
    CASSANDRA = "cassandra"


MEGABYTES: Final = {Kind.KAFKA: 44, Kind.MIRRORMAKER: 36, Kind.CASSANDRA: 67}
"""What a first start brings, for people who wait for it."""


class Lacking(Misconfigured):
    """This machine has no Java or no Maven that fits."""


def cache_dir() -> Path:
    """Where jars are kept: `tocsin/jars` in the user's cache (XDG)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tocsin" / "jars"


async def java() -> str:
    """The Java to run servers with: of JAVA_HOME, else of the PATH. Raises `Lacking` where it is not version 17."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    wanted = f"install one (Debian: openjdk-{JAVA}-jre-headless) and set JAVA_HOME to it"
    if found is None:
        where = f"JAVA_HOME is {home}, and has no bin/java" if home else "there is no java on the PATH"
        raise Lacking(f"the local servers need Java {JAVA}, and {where}: {wanted}")
    said = await _said([found, "-version"])
    version = re.search(r'version "(?:1\.)?(\d+)', said)
    if version is None or int(version[1]) != JAVA:
        what = version[1] if version else f"of a version that cannot be told ({_ending(said)})"
        raise Lacking(f"the local servers need Java {JAVA}, and {found} is {what}: {wanted}")
    return found


async def jars(kind: Kind, tell: Tell, *, cache: Path | None = None) -> Path:
    """The folder of a server's jars, brought by Maven unless it is there. `tell` hears of what takes time.

    Raises `Lacking` where Maven is needed and missing or too old, `Unavailable` when it failed.
    """
    cache = cache or cache_dir()
    pom = POMS / f"{kind}.xml"
    folder = cache / f"{kind}-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    async with _alone(cache / f"{kind}.lock", lambda: tell(f"waiting for another process that brings {kind}'s jars")):
        if not folder.is_dir():
            tell(f"bringing {kind}'s jars through Maven, about {MEGABYTES[kind]} MB, once")
            await _bring(pom, folder)
    return folder


async def _bring(pom: Path, folder: Path) -> None:
    maven = await _maven()
    with tempfile.TemporaryDirectory(prefix=folder.name, dir=folder.parent) as place:
        brought = Path(place, "jars")
        command = [maven, "-B", "-q", "-f", str(pom), PLUGIN, f"-DoutputDirectory={brought}"]
        status, said = await _run([*command, "-DincludeScope=runtime"], MAVEN_S_MAX)
        if status != 0:
            raise Unavailable(
                f"Maven could not bring the jars of {pom.name} (status {status}): {_ending(said)}\n"
                "it needs a way to its repository once; after that no start needs the network"
            )
        brought.rename(folder)  # noqa: ASYNC240 - takes no time


async def _maven() -> str:
    wanted = f"install it (Debian: maven), {'.'.join(map(str, MAVEN_MIN))} or newer"
    found = shutil.which("mvn")
    if found is None:
        raise Lacking(f"the servers' jars are brought by Maven, and there is no mvn on the PATH: {wanted}")
    said = await _said([found, "-version"])
    version = re.search(r"Apache Maven (\d+)\.(\d+)\.(\d+)", said)
    if version is None or tuple(map(int, version.groups())) < MAVEN_MIN:
        what = ".".join(version.groups()) if version else f"cannot tell its version ({_ending(said)})"
        raise Lacking(f"the servers' jars are brought by Maven, and {found} is {what}: {wanted}")
    return found


async def _said(command: Sequence[str]) -> str:
    """What a command says of its version."""
    return (await _run(command, VERSION_S_MAX))[1]


async def _run(command: Sequence[str], within_s: float) -> tuple[int | None, str]:
    """Status and words of a command that ends with us; None for the status of one that was ended as too slow."""
    process = await asyncio.create_subprocess_exec(
        *tethered(command), stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, start_new_session=True
    )
    try:
        async with asyncio.timeout(within_s):
            said, _ = await process.communicate()
            return process.returncode, said.decode(errors="replace")
    except TimeoutError:
        return None, f"it did not end within {within_s:.0f} s"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def _alone(path: Path, wait: Callable[[], None]) -> AsyncIterator[None]:
    """Holds the lock of a file; calls `wait` once if another process has it. The kernel frees it when we die."""
    with path.open("ab") as lock:
        told = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    wait()
                told = True
                await asyncio.sleep(LOOK_EVERY_S)
        yield


def _ending(said: str) -> str:
    return said.strip()[-WORDS_SHOWN_MAX:]
