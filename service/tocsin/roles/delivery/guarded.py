"""Threads that may talk to the Internet at large and to nobody beside us, whatever library runs in them.

Theory
------
A library that resolves and connects by itself cannot be handed a checked address, as our own webhooks are. But Python
tells its audit hooks (PEP 578) of each connection before it is made, with the very address that the system is given:
after any look-up of a name, so no name can change its answer in between. The hook is one for the process, costs others
a look at a thread's flag, and cannot be taken out again.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from tocsin.roles.delivery.reachable import is_public


class _Thread(threading.local):
    refusals: list[str] | None = None


_thread = _Thread()


@contextmanager
def outside_only(*, unless: bool = False) -> Iterator[list[str]]:
    """This thread connects to public addresses alone: any other raises PermissionError in whoever connects. The list
    says which were refused, since libraries tell of all failures alike. `unless`: no, to any.
    """
    refusals: list[str] = []
    if not unless:
        _install()
        _thread.refusals = refusals
    try:
        yield refusals
    finally:
        _thread.refusals = None


@cache
def _install() -> None:
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in {"socket.connect", "socket.sendto"} or _thread.refusals is None:
        return
    address = arguments[1]
    host = address[0] if isinstance(address, tuple) else None  # else the socket of a file, on this machine
    try:
        is_outside = isinstance(host, str) and is_public(host)
    except ValueError:  # a name, that the system is to look up unseen
        is_outside = False
    if not is_outside:
        refusal = f"{host} is inside a network that is not to be called from here"
        _thread.refusals.append(refusal)
        raise PermissionError(refusal)
