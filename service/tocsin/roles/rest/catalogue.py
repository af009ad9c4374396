"""What the directory holds, services and users; changing a service; and which abilities this installation has."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from tocsin.core.directory import Service
from tocsin.engines.directory_file import RESPONDERS_MAX
from tocsin.roles.rest import directory_models as given
from tocsin.roles.rest import models, shapes
from tocsin.roles.rest.changes import body_of, taking
from tocsin.roles.rest.desk import PAGE_DEFAULT, Desk, Limit, Offset, Page, Total, Word
from tocsin.roles.rest.errors import (
    INVALID_INPUT,
    MISSING_ABILITY,
    NO_SUCH_SERVICE,
    RestError,
    invalid,
)
from tocsin.roles.rest.gate import caller_of
from tocsin.roles.rest.register import Register
from tocsin.roles.web import answer

ABILITIES: Final = ("urgencies",)
Wanted = Annotated[Word | None, Query(alias="query", description="A part of the name, or of a user's address.")]


URGENCIES: Final = {word: urgency for urgency, word in shapes.URGENCIES.items()}


def routes(desk: Desk, register: Register) -> APIRouter:
    """The routes."""
    router = APIRouter()

    @router.get("/services", summary="List services", responses=models.listed("services", given.Service))
    async def services(
        request: Request,
        query: Wanted = None,
        limit: Limit = PAGE_DEFAULT,
        offset: Offset = 0,
        total: Total = False,  # noqa: FBT002 (a parameter of the query, named by its client)
    ) -> Response:
        caller, shown = caller_of(request), desk.shapes(request)
        found = [
            shown.service(service)
            for service in desk.directory.services()
            if caller.may_see(service.id) and _matches(query, service.name)
        ]
        return _page("services", found, Page.of(limit, offset), counted=total)

    @router.get("/services/{id}", summary="Get a service", responses=models.one("service", given.Service))
    async def service(request: Request, id: str) -> Response:
        found = desk.directory.service(id)
        if found is None:
            raise _no_service(id)
        desk.check(request, found.id)
        return answer(200, {"service": desk.shapes(request).service(found)})

    @router.put("/services/{id}", summary="Change a service", responses=models.one("service", given.Service),
                openapi_extra=taking(given.OneService, needs_sender=False))  # fmt: skip
    async def change_service(request: Request, id: str) -> Response:
        wanted = (await body_of(request, given.OneService)).service
        async with register.turn(request):
            found = desk.directory.service(id)
            if found is None:
                raise _no_service(id)
            changed = _changed(found, wanted, desk)
            await register.put(request, changed)
        return answer(200, {"service": desk.shapes(request).service(changed)})

    @router.get("/users", summary="List users", responses=models.listed("users", given.User))
    async def users(
        request: Request,
        query: Wanted = None,
        limit: Limit = PAGE_DEFAULT,
        offset: Offset = 0,
        total: Total = False,  # noqa: FBT002
    ) -> Response:
        shown = desk.shapes(request)
        found = [
            shown.user(user)
            for user in desk.directory.users()
            if _matches(query, user.name) or _matches(query, user.email)
        ]
        return _page("users", found, Page.of(limit, offset), counted=total)

    @router.get("/users/{id}", summary="Get a user", responses=models.one("user", given.User))
    async def user(request: Request, id: str) -> Response:
        return answer(200, {"user": desk.shapes(request).user(register.user(id))})

    @router.get("/abilities", summary="List abilities", responses=models.abilities())
    async def abilities() -> Response:
        return answer(200, {"abilities": ABILITIES})

    @router.get(
        "/abilities/{id}",
        summary="Test for an ability",
        status_code=204,
        response_class=Response,
        responses={402: {"model": models.ErrorBody, "description": "This installation does not have it."}},
    )
    async def ability(id: str) -> Response:
        if id in ABILITIES:
            return Response(status_code=204)
        raise RestError(402, MISSING_ABILITY, INVALID_INPUT, [f"there is no ability {id[:80]!r}"])

    return router


def _no_service(id: str) -> RestError:
    return RestError(404, NO_SUCH_SERVICE, "Service Not Found", [f"no service has the id {id[:80]!r}"])


def _changed(service: Service, wanted: given.ChangedService, desk: Desk) -> Service:
    """The service as it is wanted; raises `RestError` for responders that are nobody."""
    responders, rule = wanted.tocsin.responders, wanted.incident_urgency_rule
    if responders is not None:
        unknown = [id for id in responders if desk.directory.user(id) is None]
        if unknown or len(set(responders)) < len(responders) or len(responders) > RESPONDERS_MAX:
            nobody = f"no user has the id {unknown[0][:80]!r}" if unknown else f"at most {RESPONDERS_MAX}, each once"
            raise invalid(f"service.tocsin.responders: {nobody}")
    return msgspec.structs.replace(
        service,
        name=service.name if wanted.name is None else wanted.name,
        urgency=service.urgency if rule is None else URGENCIES[rule.urgency],
        responders=service.responders if responders is None else tuple(responders),
    )


def _matches(query: str | None, text: str) -> bool:
    return query is None or query.lower() in text.lower()


def _page(name: str, found: Sequence[dict[str, Any]], page: Page, *, counted: bool) -> Response:
    end = page.offset + page.limit
    total = len(found) if counted else None
    return answer(200, page.wrap(name, found[page.offset : end], total, more=len(found) > end))
