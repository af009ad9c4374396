"""Registries of probes and actions: our own functions, found by name, their arguments checked before anything runs.

A function takes the target first; its other parameters are the arguments that a drill's file gives by name. Their
annotations are what is checked, so a drill that says `regoin: b`, or `seconds: soon`, is refused when it is loaded and
not in the middle of an outage.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar, get_args, get_type_hints

from tocsin.config import nearest
from tocsin.ops.drills.target import Target

Probe = Callable[..., Awaitable[Any]]
"""`(target, **arguments)` to the value that a tolerance is held against; None when there is none."""
Action = Callable[..., Awaitable[None]]
F = TypeVar("F", bound=Callable[..., Awaitable[Any]])
_WORDS: Final = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One function. `undo`: the action that ends what this one begins, with the same values for what it takes."""

    function: Callable[..., Awaitable[Any]]
    undo: str | None = None

    @property
    def name(self) -> str:
        """As drills call it."""
        return self.function.__name__

    @property
    def doc(self) -> str:
        """What it does, in a line."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """What a file may give."""
        return dict([*inspect.signature(self.function).parameters.items()][1:])

    def faults(self, arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """What is wrong with arguments: (argument, why)."""
        hints = get_type_hints(self.function)
        parameters = self.parameters
        for name, value in arguments.items():
            if name not in parameters:
                yield name, f"{self.name} takes no such argument{nearest(name, parameters)}"
            elif not _is_a(value, hints[name]):
                yield name, f"expected {_described(hints[name])}, is {value!r}"
        for name, parameter in parameters.items():
            if parameter.default is inspect.Parameter.empty and name not in arguments:
                yield name, f"is missing: {self.name} needs {_described(hints[name])}"

    def undoing(self, arguments: Mapping[str, Any], actions: "Registry") -> tuple[str, dict[str, Any]] | None:
        """What undoes it when it is called with these: an action and its arguments."""
        if self.undo is None:
            return None
        taken = actions[self.undo].parameters
        return self.undo, {name: value for name, value in arguments.items() if name in taken}


class Registry(Mapping[str, Entry]):
    """Functions by name."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def add(self, *, undo: str | None = None) -> Callable[[F], F]:
        """Decorator: registers a function under its own name."""

        def register(function: F) -> F:
            self._entries[function.__name__] = Entry(function, undo)
            return function

        return register

    async def call(self, func: str, target: Target, arguments: Mapping[str, Any]) -> Any:
        """Calls a function that is known to be there with arguments that are known to fit."""
        return await self._entries[func].function(target, **arguments)

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _is_a(value: Any, kind: Any) -> bool:
    if options := get_args(kind):
        return value in options
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _described(kind: Any) -> str:
    if options := get_args(kind):
        return f"one of {', '.join(options)}"
    return _WORDS[kind]
