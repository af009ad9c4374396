"""Writing to the directory through the REST interface: one change at a time, checked, said in the log, written down.

A change is read, changed and said again as a whole, so this process does one after the other. Two regions, or two
processes of one, that change one user within the same second do not see each other: the later one counts, whole
(ADR 0022).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from fastapi import Request
from pydantic import ValidationError

from tocsin.core.directory import Body, InvalidRecord, Name
from tocsin.core.paging.people import METHODS_MAX, RULES_MAX, Person
from tocsin.engines.audit import Deed
from tocsin.engines.directory_file import faults_of_person
from tocsin.engines.errors import EngineError, Refused
from tocsin.roles.rest.desk import Desk
from tocsin.roles.rest.errors import NOT_FOUND, RETRY, TOO_SLOW, RestError, invalid
from tocsin.roles.rest.gate import caller_of
from tocsin.telemetry import redacted

APPEND_S_MAX: Final = 3.0
"""How long the log may take to acknowledge a change."""


@dataclass(frozen=True, slots=True)
class Register:
    """Changes services and users. `random_bytes`: cryptographic randomness, for ids."""

    desk: Desk
    random_bytes: Callable[[int], bytes]
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def turn(self, request: Request) -> AsyncIterator[None]:
        """Nobody else changes anything here meanwhile. Raises `RestError` for a token of some services alone."""
        token = caller_of(request).token
        if token.services:
            why = f"the token is for services {', '.join(token.services)} alone, and the directory is of all"
            raise self.desk.gate.denied(request, token, why)
        async with self._turn:
            yield

    def user(self, id: str) -> Person:
        """The user of this id; raises `RestError`."""
        found = self.desk.directory.user(id)
        if found is None:
            raise missing("user", id)
        return found

    def new_id(self) -> str:
        """An id that nothing has."""
        return self.random_bytes(7).hex()

    async def put(self, request: Request, body: Body) -> None:
        """Makes a service or a user be so; raises `RestError`."""
        if isinstance(body, Person):
            self._check(body)
        await self._say(request, str(body.id), [body], [])

    async def remove(self, request: Request, name: Name) -> None:
        """Removes a service or a user; raises `RestError`."""
        await self._say(request, name.id, [], [name])

    def _check(self, person: Person) -> None:
        flaws = [f"{where}: {what}" for where, what in faults_of_person(person)]
        flaws += ["contact_methods: more than may be"] if len(person.methods) > METHODS_MAX else []
        flaws += ["notification_rules: more than may be"] if len(person.rules) > RULES_MAX else []
        other = self.desk.directory.user_of(person.email)
        if other is not None and other.id != person.id:
            flaws.append(f"email: is the address of the user {other.id!r}")
        if flaws:
            raise invalid(*flaws)

    async def _say(self, request: Request, id: str, bodies: list[Body], gone: list[Name]) -> None:
        said = {
            "token_id": caller_of(request).token.id,
            "by": str(redacted(request.headers.get("from", "")))[:255],
            "does": request.method,
            "record": f"{request.url.path[:200]} ({id})",
        }
        try:
            async with asyncio.timeout(APPEND_S_MAX):
                await self.desk.directory.put(bodies, gone)
        except (Refused, InvalidRecord) as error:
            self.desk.audit.changed(Deed.DIRECTORY, **said, outcome="not recorded")
            raise invalid(str(error)) from error
        except (EngineError, TimeoutError) as error:
            self.desk.audit.changed(Deed.DIRECTORY, **said, outcome="unknown")
            message = "The log of this region did not take it; it may be recorded or not: look, then try again"
            why = str(error) or f"no answer within {APPEND_S_MAX:g} s"
            raise RestError(503, TOO_SLOW, message, [why], RETRY) from error
        self.desk.audit.changed(Deed.DIRECTORY, **said, outcome="recorded")


def missing(what: str, id: str) -> RestError:
    """The answer about what is not in the directory."""
    return RestError(404, NOT_FOUND, "Not Found", [f"no {what} has the id {id[:80]!r}"])


def flaws_of(error: ValidationError) -> RestError:
    """The answer to what the directory's own forms refuse; what was given is not said again: it may be a secret."""
    flaws = error.errors(include_url=False, include_input=False)
    return invalid(
        *(f"{'.'.join(map(str, flaw['loc']))}: {flaw['msg'].removeprefix('Value error, ')}" for flaw in flaws)
    )
