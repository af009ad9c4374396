"""Reading what the directory holds, services and users, and which abilities this installation has."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from tocsin.roles.rest import models
from tocsin.roles.rest.desk import PAGE_DEFAULT, Desk, Limit, Offset, Page, Total, Word
from tocsin.roles.rest.errors import (
    INVALID_INPUT,
    MISSING_ABILITY,
    NO_SUCH_SERVICE,
    NOT_FOUND,
    RestError,
)
from tocsin.roles.rest.gate import caller_of
from tocsin.roles.web import answer

ABILITIES: Final = ("urgencies",)
Wanted = Annotated[Word | None, Query(alias="query", description="A part of the name, or of a user's address.")]


def routes(desk: Desk) -> APIRouter:
    """The routes."""
    router = APIRouter()

    @router.get("/services", summary="List services", responses=models.listed("services", models.Service))
    async def services(
        request: Request,
        query: Wanted = None,
        limit: Limit = PAGE_DEFAULT,
        offset: Offset = 0,
        total: Total = False,  # noqa: FBT002 (a parameter of the query, named by its client)
    ) -> Response:
        caller, shapes = caller_of(request), desk.shapes(request)
        found = [
            shapes.service(service)
            for service in desk.directory.services()
            if caller.may_see(service.id) and _matches(query, service.name)
        ]
        return _page("services", found, Page.of(limit, offset), counted=total)

    @router.get("/services/{id}", summary="Get a service", responses=models.one("service", models.Service))
    async def service(request: Request, id: str) -> Response:
        found = desk.directory.service(id)
        if found is None:
            raise RestError(404, NO_SUCH_SERVICE, "Service Not Found", [f"no service has the id {id[:80]!r}"])
        desk.check(request, found.id)
        return answer(200, {"service": desk.shapes(request).service(found)})

    @router.get("/users", summary="List users", responses=models.listed("users", models.User))
    async def users(
        request: Request,
        query: Wanted = None,
        limit: Limit = PAGE_DEFAULT,
        offset: Offset = 0,
        total: Total = False,  # noqa: FBT002
    ) -> Response:
        shapes = desk.shapes(request)
        found = [
            shapes.user(user)
            for user in desk.directory.users()
            if _matches(query, user.name) or _matches(query, user.email)
        ]
        return _page("users", found, Page.of(limit, offset), counted=total)

    @router.get("/users/{id}", summary="Get a user", responses=models.one("user", models.User))
    async def user(request: Request, id: str) -> Response:
        for found in desk.directory.users():
            if found.id == id:
                return answer(200, {"user": desk.shapes(request).user(found)})
        raise RestError(404, NOT_FOUND, "Not Found", [f"no user has the id {id[:80]!r}"])

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


def _matches(query: str | None, text: str) -> bool:
    return query is None or query.lower() in text.lower()


def _page(name: str, found: Sequence[dict[str, Any]], page: Page, *, counted: bool) -> Response:
    end = page.offset + page.limit
    total = len(found) if counted else None
    return answer(200, page.wrap(name, found[page.offset : end], total, more=len(found) > end))
