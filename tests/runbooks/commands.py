"""What a command line must be to be right: a command that exists, with options and arguments that it takes."""

import re
import shlex
from functools import cache
from typing import Any

from tocsin.cli.main import NOUNS, load
from tocsin.cli.run import Role

UNCHECKED = {"-n", "--no-pager"}
UNIT = re.compile(r"tocsin@([a-z]+)\Z")
CLOCK_UNIT = "systemd-timesyncd"
ASKED_FIRST = "--yes"
CHANGING = {"send", "notify test", "incidents ack", "incidents resolve", "store migrate", "token create"}
"""Those that change something, or reach somebody, and do not ask first; all that ask first have `--yes`."""
VERBS = {"status": False, "start": True, "stop": True, "restart": True}
"""Of systemctl: whether it changes something."""


class Wrong(Exception):
    """A command line that would not work."""


@cache
def changes(line: str) -> bool:
    """Whether it changes something; raises Wrong when it would not work."""
    words = shlex.split(line)
    match words:
        case ["tocsin", noun, *rest]:
            return _tocsin(noun, rest)
        case ["systemctl", verb, unit, *rest]:
            return _systemctl(verb, unit, rest)
    raise Wrong(f"{line}: neither `tocsin NOUN` nor `systemctl VERB UNIT`")


def _tocsin(noun: str, rest: list[str]) -> bool:
    if noun not in NOUNS:
        raise Wrong(f"tocsin {noun}: no such command")
    name, command = noun, _loaded(noun)
    subcommands: dict[str, Any] = getattr(command, "commands", {})
    if subcommands and rest and not rest[0].startswith("-"):
        if rest[0] not in subcommands:
            raise Wrong(f"tocsin {noun} {rest[0]}: no such command")
        name, command, rest = f"{noun} {rest[0]}", subcommands[rest[0]], rest[1:]
    elif subcommands and not getattr(command, "invoke_without_command", False):
        raise Wrong(f"tocsin {noun}: needs one of {', '.join(subcommands)}")
    try:
        command.make_context(name, list(rest))
    except Exception as error:  # what the parser raises is no part of typer's interface
        told = error.format_message() if hasattr(error, "format_message") else error
        raise Wrong(f"tocsin {name} {shlex.join(rest)}: {told}") from error
    options = {option for parameter in command.params for option in parameter.opts}
    return ASKED_FIRST in options or name in CHANGING or noun in CHANGING


def _systemctl(verb: str, unit: str, rest: list[str]) -> bool:
    role = UNIT.match(unit)
    if verb not in VERBS or (unit != CLOCK_UNIT and not (role and role[1] in set(Role))):
        raise Wrong(f"systemctl {verb} {unit}: no such verb here, or no such role")
    unknown = {word for word in rest if word.startswith("-")} - UNCHECKED
    if unknown:
        raise Wrong(f"systemctl {verb} {unit}: {', '.join(sorted(unknown))} is used nowhere else here")
    return VERBS[verb]


@cache
def _loaded(noun: str) -> Any:
    return load(noun)
