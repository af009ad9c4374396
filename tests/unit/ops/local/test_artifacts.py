"""Jars are brought once; a Java or Maven that is missing or does not fit is named, with what to do."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tocsin.engines.errors import Unavailable
from tocsin.ops.local import artifacts
from tocsin.ops.local.artifacts import Kind, Lacking

MAVEN = 'if [ "$1" = -version ]; then echo "Apache Maven {version}"; exit; fi\n'
BRINGS = """
for word; do
    case $word in -DoutputDirectory=*) mkdir -p "${word#*=}"; echo jar > "${word#*=}/a.jar";; esac
done
"""


@pytest.fixture
def bin_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the PATH, but for what a shell script needs."""
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    for tool in ("mkdir", "sh"):
        (bin_dir / tool).symlink_to(str(shutil.which(tool)))
    monkeypatch.setenv("PATH", str(bin_dir))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return bin_dir


def put(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}")
    (folder / name).chmod(0o755)


async def test_the_java_of_java_home_goes_before_that_of_the_path(
    bin_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bin_dir, "java", "echo 'openjdk version \"21.0.1\"' >&2")
    put(tmp_path / "jdk" / "bin", "java", "echo 'openjdk version \"17.0.15\" 2025-04-15' >&2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))

    assert await artifacts.java() == str(tmp_path / "jdk" / "bin" / "java")


@pytest.mark.parametrize(
    ("says", "what"),
    [('openjdk version "21.0.1"', "is 21"), ('java version "1.8.0_292"', "is 8"), ("who knows", "cannot be told")],
)
async def test_another_version_of_java_is_refused(bin_dir: Path, says: str, what: str) -> None:
    put(bin_dir, "java", f"echo '{says}' >&2")

    with pytest.raises(Lacking, match=rf"need Java 17, and .*{what}.*set JAVA_HOME"):
        await artifacts.java()


@pytest.mark.parametrize("home", [None, "/nowhere"])
async def test_a_missing_java_is_named(bin_dir: Path, monkeypatch: pytest.MonkeyPatch, home: str | None) -> None:
    if home:
        monkeypatch.setenv("JAVA_HOME", home)

    with pytest.raises(Lacking, match="JAVA_HOME is /nowhere" if home else "no java on the PATH"):
        await artifacts.java()


async def test_a_missing_maven_is_named(bin_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(Lacking, match="no mvn on the PATH: install it"):
        await artifacts.jars(Kind.KAFKA, print, cache=tmp_path / "cache")


async def test_an_old_maven_is_refused(bin_dir: Path, tmp_path: Path) -> None:
    put(bin_dir, "mvn", MAVEN.format(version="3.3.9"))

    with pytest.raises(Lacking, match=r"mvn is 3\.3\.9: .* 3\.6\.3 or newer"):
        await artifacts.jars(Kind.KAFKA, print, cache=tmp_path / "cache")


async def test_what_maven_says_of_a_failure_is_told_and_nothing_half_done_is_kept(
    bin_dir: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    put(bin_dir, "mvn", MAVEN.format(version="3.8.7") + BRINGS + "echo 'unknown host'; exit 1")

    with pytest.raises(Unavailable, match=r"jars of kafka\.xml \(status 1\): unknown host"):
        await artifacts.jars(Kind.KAFKA, print, cache=cache)
    assert not list(cache.rglob("*.jar"))


async def test_jars_are_brought_once_by_several_at_once_and_then_without_maven(bin_dir: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    told: list[str] = []
    put(bin_dir, "mvn", MAVEN.format(version="3.8.7") + BRINGS)

    folders = await asyncio.gather(*(artifacts.jars(Kind.KAFKA, told.append, cache=cache) for _ in range(3)))
    (bin_dir / "mvn").unlink()
    again = await artifacts.jars(Kind.KAFKA, told.append, cache=cache)

    assert {*folders, again} == {again}
    assert [path.name for path in again.iterdir()] == ["a.jar"]
    assert len([text for text in told if text.startswith("bringing kafka's jars")]) == 1


async def test_another_pom_has_another_folder(bin_dir: Path, tmp_path: Path) -> None:
    put(bin_dir, "mvn", MAVEN.format(version="3.8.7") + BRINGS)

    folders = [await artifacts.jars(kind, print, cache=tmp_path / "cache") for kind in Kind]

    assert len(set(folders)) == len(Kind)
