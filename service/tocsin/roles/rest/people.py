"""Users, how they can be reached and by which rules: PagerDuty's routes, on the directory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import ValidationError

from tocsin.core.directory import Kind, Name
from tocsin.core.paging.people import Method, Person, Rule
from tocsin.engines.addresses import shown
from tocsin.engines.directory_file import MethodForm, RuleForm, UserForm
from tocsin.roles.rest import directory_models as given
from tocsin.roles.rest import models
from tocsin.roles.rest.changes import body_of, taking
from tocsin.roles.rest.desk import Desk
from tocsin.roles.rest.errors import invalid
from tocsin.roles.rest.register import Register, flaws_of, missing
from tocsin.roles.web import answer

SECONDS_PER_MIN: Final = 60.0
P = TypeVar("P", Method, Rule)
KINDS: Final = {word: kind for kind, word in given.METHOD_TYPES.items()}


def _gone() -> models.Responses:
    absent = {"model": models.ErrorBody, "description": "Nothing has this id."}
    return {204: {"description": "It is removed."}, 404: absent}


def routes(desk: Desk, register: Register) -> APIRouter:
    """The routes."""
    router = APIRouter()
    for part in (_Users(desk, register), _Methods(desk, register), _Rules(desk, register)):
        part.add_to(router)
    return router


@dataclass(frozen=True, slots=True)
class _Users:
    desk: Desk
    register: Register

    def add_to(self, router: APIRouter) -> None:
        register = self.register

        @router.post("/users", summary="Add a user", status_code=201,
                     responses=models.one("user", given.User, 201),
                     openapi_extra=taking(given.OneNewUser, needs_sender=False))  # fmt: skip
        async def add(request: Request) -> Response:
            wanted = (await body_of(request, given.OneNewUser)).user
            async with register.turn(request):
                user = _checked_user(Person(register.new_id()), wanted)
                await register.put(request, user)
            return self._shown(request, user, 201)

        @router.put("/users/{id}", summary="Change a user", responses=models.one("user", given.User),
                    openapi_extra=taking(given.OneUser, needs_sender=False))  # fmt: skip
        async def change(request: Request, id: str) -> Response:
            wanted = (await body_of(request, given.OneUser)).user
            async with register.turn(request):
                user = _checked_user(register.user(id), wanted)
                await register.put(request, user)
            return self._shown(request, user)

        @router.delete("/users/{id}", summary="Remove a user", status_code=204, response_class=Response,
                       responses=_gone())  # fmt: skip
        async def remove(request: Request, id: str) -> Response:
            async with register.turn(request):
                user = register.user(id)
                if of := [one.id for one in self.desk.directory.services() if user.id in one.responders]:
                    raise invalid(f"{user.id} is a responder of {', '.join(of[:10])}: take them out there first")
                await register.remove(request, Name(Kind.USER, user.id))
            return Response(status_code=204)

    def _shown(self, request: Request, user: Person, status: int = 200) -> Response:
        return answer(status, {"user": self.desk.shapes(request).user(user)})


def _checked_user(user: Person, wanted: given.NewUser | given.ChangedUser) -> Person:
    fields = {name: value for name in ("name", "email") if (value := getattr(wanted, name)) is not None}
    changed = msgspec.structs.replace(user, **fields)
    try:
        UserForm(id=changed.id, name=changed.name, email=changed.email)
    except ValidationError as error:
        raise flaws_of(error) from None
    return changed


@dataclass(frozen=True, slots=True)
class _Methods:
    desk: Desk
    register: Register

    def add_to(self, router: APIRouter) -> None:
        register, path = self.register, "/users/{id}/contact_methods"

        @router.get(path, summary="List a user's contact methods",
                    responses=models.unpaged("contact_methods", given.ContactMethod))  # fmt: skip
        async def list_all(request: Request, id: str) -> Response:
            user, shapes = register.user(id), self.desk.shapes(request)
            return answer(200, {"contact_methods": [shapes.method(user, one) for one in user.methods]})

        @router.get(path + "/{method_id}", summary="Get a contact method",
                    responses=models.one("contact_method", given.ContactMethod))  # fmt: skip
        async def get(request: Request, id: str, method_id: str) -> Response:
            user = register.user(id)
            return self._shown(request, user, _part("contact method", user.methods, method_id))

        @router.post(path, summary="Add a contact method", status_code=201,
                     responses=models.one("contact_method", given.ContactMethod, 201),
                     openapi_extra=taking(given.OneMethod, needs_sender=False))  # fmt: skip
        async def add(request: Request, id: str) -> Response:
            wanted = (await body_of(request, given.OneMethod)).contact_method
            async with register.turn(request):
                user, method = register.user(id), _checked_method(wanted, register.new_id(), None)
                await register.put(request, msgspec.structs.replace(user, methods=(*user.methods, method)))
            return self._shown(request, user, method, 201)

        @router.put(path + "/{method_id}", summary="Change a contact method",
                    responses=models.one("contact_method", given.ContactMethod),
                    openapi_extra=taking(given.OneMethod, needs_sender=False))  # fmt: skip
        async def change(request: Request, id: str, method_id: str) -> Response:
            wanted = (await body_of(request, given.OneMethod)).contact_method
            async with register.turn(request):
                user = register.user(id)
                before = _part("contact method", user.methods, method_id)
                method = _checked_method(wanted, method_id, before)
                methods = tuple(method if one is before else one for one in user.methods)
                await register.put(request, msgspec.structs.replace(user, methods=methods))
            return self._shown(request, user, method)

        @router.delete(path + "/{method_id}", summary="Remove a contact method, and the rules that use it",
                       status_code=204, response_class=Response, responses=_gone())  # fmt: skip
        async def remove(request: Request, id: str, method_id: str) -> Response:
            async with register.turn(request):
                user = register.user(id)
                gone = _part("contact method", user.methods, method_id)
                methods = tuple(one for one in user.methods if one is not gone)
                rules = tuple(rule for rule in user.rules if rule.method != method_id)
                await register.put(request, msgspec.structs.replace(user, methods=methods, rules=rules))
            return Response(status_code=204)

    def _shown(self, request: Request, user: Person, method: Method, status: int = 200) -> Response:
        return answer(status, {"contact_method": self.desk.shapes(request).method(user, method)})


def _checked_method(wanted: given.GivenMethod, id: str, before: Method | None) -> Method:
    """The method that is wanted. An address that is given as it is shown, its secret left out, stays as it is."""
    address, state = wanted.address, wanted.tocsin.model_dump(exclude_none=True)
    if before is not None:
        state = {"verified": before.verified, "blocked": before.blocked} | state
        address = before.address if address == shown(before) else address
    known = {name: state[name] for name in ("verified", "blocked") if name in state}
    try:
        return MethodForm.model_validate({"id": id, "kind": KINDS[wanted.type], "address": address, **known}).method
    except ValidationError as error:
        raise flaws_of(error) from None


@dataclass(frozen=True, slots=True)
class _Rules:
    desk: Desk
    register: Register

    def add_to(self, router: APIRouter) -> None:
        register, path = self.register, "/users/{id}/notification_rules"

        @router.get(path, summary="List a user's notification rules",
                    responses=models.unpaged("notification_rules", given.NotificationRule))  # fmt: skip
        async def list_all(request: Request, id: str) -> Response:
            user, shapes = register.user(id), self.desk.shapes(request)
            return answer(200, {"notification_rules": [shapes.rule(user, one) for one in user.rules]})

        @router.get(path + "/{rule_id}", summary="Get a notification rule",
                    responses=models.one("notification_rule", given.NotificationRule))  # fmt: skip
        async def get(request: Request, id: str, rule_id: str) -> Response:
            user = register.user(id)
            return self._shown(request, user, _part("notification rule", user.rules, rule_id))

        @router.post(path, summary="Add a notification rule", status_code=201,
                     responses=models.one("notification_rule", given.NotificationRule, 201),
                     openapi_extra=taking(given.OneRule, needs_sender=False))  # fmt: skip
        async def add(request: Request, id: str) -> Response:
            wanted = (await body_of(request, given.OneRule)).notification_rule
            async with register.turn(request):
                user, rule = register.user(id), _checked_rule(wanted, register.new_id())
                await register.put(request, msgspec.structs.replace(user, rules=(*user.rules, rule)))
            return self._shown(request, user, rule, 201)

        @router.put(path + "/{rule_id}", summary="Change a notification rule",
                    responses=models.one("notification_rule", given.NotificationRule),
                    openapi_extra=taking(given.OneRule, needs_sender=False))  # fmt: skip
        async def change(request: Request, id: str, rule_id: str) -> Response:
            wanted = (await body_of(request, given.OneRule)).notification_rule
            async with register.turn(request):
                user = register.user(id)
                before, rule = _part("notification rule", user.rules, rule_id), _checked_rule(wanted, rule_id)
                rules = tuple(rule if one is before else one for one in user.rules)
                await register.put(request, msgspec.structs.replace(user, rules=rules))
            return self._shown(request, user, rule)

        @router.delete(path + "/{rule_id}", summary="Remove a notification rule", status_code=204,
                       response_class=Response, responses=_gone())  # fmt: skip
        async def remove(request: Request, id: str, rule_id: str) -> Response:
            async with register.turn(request):
                user = register.user(id)
                gone = _part("notification rule", user.rules, rule_id)
                rules = tuple(one for one in user.rules if one is not gone)
                await register.put(request, msgspec.structs.replace(user, rules=rules))
            return Response(status_code=204)

    def _shown(self, request: Request, user: Person, rule: Rule, status: int = 200) -> Response:
        return answer(status, {"notification_rule": self.desk.shapes(request).rule(user, rule)})


def _checked_rule(wanted: given.GivenRule, id: str) -> Rule:
    fields: dict[str, Any] = {
        "method": wanted.contact_method.id,
        "delay_s": wanted.start_delay_in_minutes * SECONDS_PER_MIN,
        "urgency": wanted.urgency,
    }
    try:
        rule = RuleForm.model_validate(fields).rule
    except ValidationError as error:
        raise flaws_of(error) from None
    return msgspec.structs.replace(rule, id=id)


def _part(what: str, parts: Sequence[P], id: str) -> P:
    """The part of a user that has this id; raises `RestError`."""
    found = next((one for one in parts if one.id == id), None)
    if found is None:
        raise missing(what, id)
    return found
