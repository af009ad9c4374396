"""What is tethered ends when the process that started it does, however that ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tocsin.ops.local.tether import tethered

WAIT_S = 10.0
PARENT = """
import subprocess, sys
from tocsin.ops.local.tether import tethered
child = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
subprocess.Popen(tethered([sys.executable, "-c", child]), start_new_session=True).wait()
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_it_dies_with_a_parent_that_is_killed_even_while_it_is_paused() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_running(child)
        os.kill(child, signal.SIGSTOP)

        parent.kill()

    deadline_s = time.monotonic() + WAIT_S
    while is_running(child) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert not is_running(child)


def test_it_becomes_the_command() -> None:
    ended = subprocess.run(
        tethered(["sh", "-c", 'echo "$0" "$1"; exit 7', "a word", "*"]), capture_output=True, check=False
    )

    assert (ended.returncode, ended.stdout) == (7, b"a word *\n")


def test_a_command_that_is_not_there_is_named() -> None:
    ended = subprocess.run(tethered(["no-such-java"]), capture_output=True, text=True, check=False)

    assert ended.returncode == 127
    assert ended.stderr == "no-such-java: No such file or directory\n"


def test_one_whose_parent_has_ended_already_does_not_start() -> None:
    command = tethered(["echo", "started"])
    command[command.index(str(os.getpid()))] = "1"

    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode != 0
    assert ended.stdout == ""
    assert "has ended" in ended.stderr
