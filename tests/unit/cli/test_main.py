"""The command line as a whole: nouns load when used, and errors become messages and statuses."""

import errno
import importlib
import subprocess
import sys
import types
from collections.abc import Callable

import pytest
import typer
from typer.testing import Result

from tocsin import __version__
from tocsin.cli import main
from tocsin.config import ConfigError, Problem
from tocsin.engines.errors import Misconfigured, Unavailable

Run = Callable[..., Result]


@pytest.fixture
def run_raising(monkeypatch: pytest.MonkeyPatch, run: Run) -> Callable[..., Result]:
    """Runs a noun whose command raises the error."""

    def raising(error: BaseException, *options: str) -> Result:
        app = typer.Typer()

        @app.command()
        def boom() -> None:
            raise error

        module = types.ModuleType("tocsin.cli.boom")
        module.__dict__["app"] = app
        monkeypatch.setitem(sys.modules, "tocsin.cli.boom", module)
        monkeypatch.setitem(main.NOUNS, "boom", ("boom", "Raise"))
        return run(*options, "boom")

    return raising


@pytest.mark.parametrize("noun", main.NOUNS)
def test_a_noun_that_help_lists_can_be_used(noun: str) -> None:
    assert isinstance(importlib.import_module(f"tocsin.cli.{main.NOUNS[noun][0]}").app, typer.Typer)


def test_help_lists_every_noun_with_its_meaning(run: Run) -> None:
    result = run("--help")

    assert result.exit_code == 0
    assert [noun for noun in main.NOUNS if f" {noun} " not in result.stdout] == []


def test_the_version_is_told(run: Run) -> None:
    assert run("--version").stdout == f"tocsin {__version__}\n"


def test_an_unknown_noun_is_wrong_usage_and_the_nearest_is_named(run: Run) -> None:
    result = run("regoin", "ls")

    assert result.exit_code == 2
    assert "Did you mean 'region'?" in result.stderr


def test_a_small_command_loads_neither_servers_nor_telemetry() -> None:
    code = (
        "import sys; from tocsin.cli.main import app; app(['id', 'new'], standalone_mode=False);"
        "print(*{'fastapi', 'opentelemetry', 'rich', 'sqlite3', 'uvicorn', 'yaml'} & sys.modules.keys())"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[1:] == [""]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Misconfigured("topic requests has 8 partitions"), 1),
        (ConfigError([Problem("a.yaml", "name", "is required and missing")]), 1),
        (Unavailable("the store of region a did not answer"), 3),
    ],
)
def test_a_known_error_is_one_message_without_a_traceback(
    run_raising: Callable[..., Result], error: Exception, status: int
) -> None:
    result = run_raising(error)

    assert (result.exit_code, result.stdout, result.stderr) == (status, "", f"error: {error}\n")


def test_an_error_is_told_with_its_causes(run_raising: Callable[..., Result]) -> None:
    error = Unavailable("the log did not answer")
    error.__cause__ = OSError("disk is full \x1b[2J")

    assert run_raising(error).stderr == ("error: the log did not answer\n  because: OSError: disk is full \\x1b[2J\n")


def test_a_file_that_cannot_be_used_is_no_fault_of_our_own(run_raising: Callable[..., Result]) -> None:
    result = run_raising(OSError(errno.ENOSPC, "No space left on device", "/data/tokens.json"))

    assert result.exit_code == 1
    assert result.stderr == "error: OSError: [Errno 28] No space left on device: '/data/tokens.json'\n"


def test_debug_shows_where_a_known_error_came_from(run_raising: Callable[..., Result]) -> None:
    result = run_raising(Misconfigured("odd"), "--debug")

    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("error: odd\n")


def test_a_fault_of_our_own_is_no_verdict_and_shows_its_traceback(run_raising: Callable[..., Result]) -> None:
    result = run_raising(KeyError("x"))

    assert result.exit_code == 3
    assert "Traceback" in result.stderr
    assert "fault of Tocsin" in result.stderr


def test_ctrl_c_ends_quietly_with_130(run_raising: Callable[..., Result]) -> None:
    result = run_raising(KeyboardInterrupt())

    assert (result.exit_code, result.output) == (130, "")


def test_a_command_may_end_itself_with_a_status(run_raising: Callable[..., Result]) -> None:
    result = run_raising(typer.Exit(1))

    assert (result.exit_code, result.output) == (1, "")
