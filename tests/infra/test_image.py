"""The image and the units, without an engine for containers: their steps are read and run one by one.

What only an engine can show is not shown here: that the base image has the packages that are asked of it, and that
layers fit together. `terraform/README.md` says so.
"""

import fnmatch
import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.infra.terraform import REPOSITORY
from tocsin.settings import variables

DOCKERFILE: Final = REPOSITORY / "Dockerfile"
CONTAINER: Final = REPOSITORY / "deploy/container"
SYSTEMD: Final = REPOSITORY / "deploy/systemd"


class Step(NamedTuple):
    """An instruction of the Dockerfile, with its stage."""

    stage: int
    word: str
    rest: str


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    """The Dockerfile, instruction by instruction."""
    lines = (line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#"))
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found, stage = [], -1
    for line in filter(str.strip, text.splitlines()):
        word, _, rest = line.partition(" ")
        assert re.fullmatch("[A-Z]+", word), f"no instruction: {line}"
        stage += word == "FROM"
        found.append(Step(stage, word, " ".join(rest.split())))
    return found


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """What .dockerignore lets through, as the build sees it."""
    patterns = [line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert patterns[0] == "*", "all is left out but what is named"
    allowed = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    refused = [pattern for pattern in patterns[1:] if not pattern.startswith("!")]
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    for name in listed.splitlines():
        is_in = any(name == one or name.startswith(f"{one}/") for one in allowed)
        if is_in and not any(fnmatch.fnmatch(name, one) for one in refused) and (REPOSITORY / name).is_file():
            target = tmp_path / "context" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, target)
    return tmp_path / "context"


def test_the_last_stage_has_no_compiler_and_no_sources(steps: list[Step]) -> None:
    last = max(step.stage for step in steps)
    assert last == 1
    shipped = [step.rest for step in steps if step.stage == last and step.word in {"RUN", "COPY"}]
    assert not any("gcc" in rest or "-dev" in rest for rest in shipped)
    assert {rest for rest in shipped if rest.startswith(("service", "."))} == set()


def test_it_runs_as_nobody_special(steps: list[Step]) -> None:
    last = [step for step in steps if step.stage == 1]
    words = [step.word for step in last]
    assert [step.rest for step in last if step.word == "USER"] == ["10001:10001"]
    assert all(word != "RUN" for word in words[words.index("USER") :])
    assert words.index("VOLUME") > words.index("RUN"), "a volume takes over the rights of what is there before it"


def test_everything_is_pinned(steps: list[Step]) -> None:
    (base,) = (step.rest for step in steps if step.word == "ARG")
    assert re.fullmatch(r"BASE=python:3\.\d+\.\d+-slim-[a-z]+", base)
    assert {step.rest.split()[0] for step in steps if step.word == "FROM"} == {"${BASE}"}
    (environment,) = (step.rest for step in steps if step.word == "ENV" and step.stage == 0)
    assert "PIP_CONSTRAINT=/src/constraints.txt" in environment
    for step in steps:
        assert step.word != "ADD", "COPY takes files of ours, ADD whatever an address gives"
        if "apt-get install" in step.rest:
            assert "--no-install-recommends" in step.rest
            assert "rm -rf /var/lib/apt/lists/*" in step.rest


def test_its_variables_are_settings(steps: list[Step]) -> None:
    named = {name for step in steps for name in re.findall(r"\b(TOCSIN_\w+)=", step.rest)}
    assert named
    assert named <= set(variables())


def test_what_is_copied_is_in_the_context(steps: list[Step], context: Path) -> None:
    for step in steps:
        if step.word == "COPY" and "--from" not in step.rest:
            *sources, _ = step.rest.split()
            for source in sources:
                assert (context / source).exists(), source
    assert not (context / "tests").exists()
    assert not (context / ".git").exists()


@pytest.mark.timeout(180)  # pip fetches the build's own packages
def test_the_package_builds_from_the_context(context: Path, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), str(context)]
    subprocess.run(command, check=True)
    (wheel,) = wheels.glob("tocsin-*.whl")
    with zipfile.ZipFile(wheel) as file:
        packed = {name for name in file.namelist() if name.startswith("tocsin/")}
    ours = {str(path.relative_to(context / "service")) for path in (context / "service").rglob("*") if path.is_file()}
    assert packed == ours


def test_the_bill_of_materials_lists_what_is_installed_and_is_the_same_twice() -> None:
    command = [sys.executable, str(CONTAINER / "sbom.py")]
    first, second = (subprocess.run(command, check=True, capture_output=True).stdout for _ in range(2))
    assert first == second
    bill = json.loads(first)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    listed = {one["name"]: one["version"] for one in bill["components"]}
    pinned = dict(
        line.lower().replace("_", "-").split("==")
        for line in (REPOSITORY / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    assert {name: listed[name] for name in ("aiokafka", "pydantic")} == {
        name: pinned[name] for name in ("aiokafka", "pydantic")
    }
    assert len({one["bom-ref"] for one in bill["components"]}) == len(bill["components"])


class _Answers(http.server.BaseHTTPRequestHandler):
    status = 200
    asked: Final[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """Something that answers on an admin port."""
    with http.server.HTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "exit_status"), [(200, 0), (500, 1)])
def test_health_is_what_the_admin_port_says(
    port: int, status: int, exit_status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Answers, "status", status)
    assert _health(port).returncode == exit_status
    assert _Answers.asked[-1] == "/health/live"


def test_a_role_that_does_not_answer_is_not_alive(port: int) -> None:
    done = _health(1)
    assert (done.returncode, done.stderr.startswith("nothing answers on port 1")) == (1, True)


def _health(port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(CONTAINER / "health.py")],
        env={"TOCSIN_ADMIN_PORT": str(port)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_missing_variable_places_nothing(tmp_path: Path) -> None:
    wanted = {str(tmp_path / "a.yaml"): "REGION_A", str(tmp_path / "b.yaml"): "REGION_B"}
    done = subprocess.run(
        [sys.executable, str(CONTAINER / "place_files.py")],
        env={"FILES": json.dumps(wanted), "REGION_A": "name: a"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "REGION_B" in done.stderr, list(tmp_path.iterdir())) == (1, True, [])


# Units ---------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
@pytest.mark.parametrize("role", ["intake", "creator", "querier", "notifier"])
def test_systemd_takes_the_units(role: str, tmp_path: Path) -> None:
    unit = (SYSTEMD / "tocsin@.service").read_text()
    # It looks whether the program is there, which on this machine it is not.
    (tmp_path / f"tocsin@{role}.service").write_text(
        re.sub("^ExecStart=.*", "ExecStart=/bin/true", unit, flags=re.MULTILINE)
    )
    shutil.copy(SYSTEMD / "tocsin.target", tmp_path)
    units = [str(tmp_path / f"tocsin@{role}.service"), str(tmp_path / "tocsin.target")]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stderr.splitlines() if str(tmp_path) in line or "tocsin" in line] == []


def test_units_set_what_settings_has() -> None:
    named = set(re.findall(r"^(TOCSIN_\w+)=", (SYSTEMD / "tocsin.env").read_text(), re.MULTILINE))
    assert named
    assert named <= set(variables())


def test_a_unit_may_write_where_it_keeps_data_and_nowhere_else() -> None:
    unit = (SYSTEMD / "tocsin@.service").read_text()
    assert {"ProtectSystem=strict", "StateDirectory=tocsin", "NoNewPrivileges=true"} <= set(unit.splitlines())
    assert "ReadWritePaths" not in unit
    assert "TOCSIN_DATA_DIR=/var/lib/tocsin" in (SYSTEMD / "tocsin.env").read_text()
