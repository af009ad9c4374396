"""What people do: open, acknowledge and resolve incidents, and write notes. All of it goes through the log.

Nothing is changed here. What a person does becomes a request in this region's log, as an event does at intake; creators
of all regions make an entry of it. The answer shows what the incident will be by then, in PagerDuty's shape, and says
that this is pending; it is computed by the fold itself. What happens elsewhere at the same time may come before it.

A request for many is checked as a whole before the first one is appended. If the log fails in the middle, the answer
says which are recorded and which are not.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from tocsin.core.acts import PERSON_LENGTH_MAX, Agent, act_body
from tocsin.core.directory import Ack, Service
from tocsin.core.events import InvalidEvent, checked_act, entry_of
from tocsin.core.ids import format_id
from tocsin.core.incidents import Incident, IncidentFilter, Status, after, fold
from tocsin.core.json_rules import NotJson, bounded, decode
from tocsin.engines.addresses import EMAIL
from tocsin.engines.audit import Deed
from tocsin.roles.freshness import Freshness
from tocsin.roles.minting import ACK_HEADER, Accepted, Mint, NotTaken
from tocsin.roles.rest import models
from tocsin.roles.rest.desk import Desk, Id
from tocsin.roles.rest.errors import (
    ALREADY_ACKNOWLEDGED,
    ALREADY_RESOLVED,
    BAD_ARGUMENTS,
    INVALID,
    INVALID_INPUT,
    INVALID_STATUS,
    NO_REQUESTER,
    RETRY,
    TOO_SLOW,
    RestError,
    invalid,
    no_incident,
)
from tocsin.roles.rest.gate import caller_of
from tocsin.roles.web import BodyTooLarge, BodyTooSlow, answer, read_body

BODY_BYTES_MAX: Final = 1_048_576
CHANGES_MAX: Final = 250
ACTIONS: Final = {"acknowledged": "acknowledge", "resolved": "resolve"}
"""The status that is asked for to the action that leads there."""
NOT_YET: Final = ("assignments", "conference_bridge", "escalation_level", "escalation_policy", "priority", "title",
                  "urgency")  # fmt: skip
"""Members of a change that would mean something and are not done yet: to pass over them would be a lie."""
SEVERITIES: Final = {"high": "error", "low": "warning"}
"""The severity by which an incident gets the urgency that a person asks for."""
_EMAIL: Final = re.compile(EMAIL)
M = TypeVar("M", bound=BaseModel)


class _Wanted(NamedTuple):
    """A change that was found to make sense."""

    incident: Incident
    action: str
    note: str


@dataclass(frozen=True, slots=True)
class Changes:
    """The routes that change."""

    desk: Desk
    mint: Mint

    def routes(self) -> APIRouter:
        """The routes."""
        router = APIRouter()

        @router.put(
            "/incidents",
            summary=f"Change up to {CHANGES_MAX} incidents",
            responses=_many(),
            openapi_extra=taking(models.ManyChanges),
        )
        async def change_many(request: Request) -> Response:
            agent = self._agent(request)
            changes = (await body_of(request, models.ManyChanges)).incidents
            if len(changes) > CHANGES_MAX:
                what = f"{len(changes)} incidents, more than {CHANGES_MAX}"
                raise RestError(413, INVALID, INVALID_INPUT, [what])
            ids = [change.id for change in changes]
            if len(set(ids)) < len(ids):
                raise invalid("incidents: each may be named once")
            changed, headers = await self._change(request, agent, [(Id.parse(one.id), one) for one in changes])
            return answer(200, {"incidents": changed}, headers)

        @router.put(
            "/incidents/{id}",
            summary="Change an incident",
            responses=models.one("incident", models.Incident),
            openapi_extra=taking(models.OneChange),
        )
        async def change_one(request: Request, id: str) -> Response:
            agent = self._agent(request)
            change = (await body_of(request, models.OneChange)).incident
            (changed,), headers = await self._change(request, agent, [(Id.parse(id), change)])
            return answer(200, {"incident": changed}, headers)

        @router.post(
            "/incidents",
            summary="Open an incident",
            status_code=201,
            responses=models.one("incident", models.Incident, 201),
            openapi_extra=taking(models.OneNewIncident),
        )
        async def open_one(request: Request) -> Response:
            agent = self._agent(request)
            return await self._open(request, agent, (await body_of(request, models.OneNewIncident)).incident)

        @router.post(
            "/incidents/{id}/notes",
            summary="Write a note on an incident",
            responses=models.one("note", models.Note),
            openapi_extra=taking(models.OneNewNote),
        )
        async def write_note(request: Request, id: str) -> Response:
            agent = self._agent(request)
            note = (await body_of(request, models.OneNewNote)).note.content
            incident, freshness = await self._known(request, Id.parse(id))
            accepted = await self._record(request, agent, _Wanted(incident, "annotate", note))
            body = {"note": self.desk.shapes(request).note(entry_of(accepted.request))}
            return answer(200, body, _headers(freshness, [accepted]))

        return router

    # Who, and which incident -------------------------------------------------------------------------------------

    def _agent(self, request: Request) -> Agent:
        """Who acts, by the header `From`: whoever has a token to write with may say so."""
        email = request.headers.get("from", "").strip()
        if not email:
            message = 'You must specify a user\'s email address in the "From" header to perform this action'
            raise RestError(400, NO_REQUESTER, message, [])
        if not _EMAIL.match(email) or len(email) > PERSON_LENGTH_MAX or not email.isprintable():
            raise invalid("header From: must be an email address")
        user = self.desk.directory.user_of(email)
        return Agent(user.email, user.id, user.name) if user else Agent(email)

    async def _known(self, request: Request, wanted: Id) -> tuple[Incident, Freshness]:
        return await self.desk.bounded(self._found(request, wanted))

    async def _found(self, request: Request, wanted: Id) -> tuple[Incident, Freshness]:
        """The incident to change; one that is on its way cannot be, since nobody knows yet what it belongs to."""
        incident, freshness = await self.desk.found(request, wanted)
        if incident is None:
            pending = await self.desk.absent(caller_of(request), wanted, freshness)
            what = f"{wanted.shown} is not here yet, but may be on its way: try again"
            headers = {name: value for name, value in pending.headers.items() if name.startswith("tocsin-")}
            raise no_incident(what, headers=headers)
        return incident, freshness

    # Changes -----------------------------------------------------------------------------------------------------

    async def _change(
        self, request: Request, agent: Agent, changes: Sequence[tuple[Id, models.Change]]
    ) -> tuple[list[dict[str, Any]], dict[str, str]]:
        """The incidents as they will be, and the headers of the answer."""
        found = await self.desk.bounded(asyncio.gather(*(self._found(request, id) for id, _ in changes)))
        wanted = [_wanted(incident, change, agent) for (incident, _), (_, change) in zip(found, changes, strict=True)]
        outcomes = await asyncio.gather(*(self._record(request, agent, one) for one in wanted), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise self._torn(wanted, outcomes, outcome) if len(wanted) > 1 else outcome
        shapes, shown = self.desk.shapes(request), []
        for one, accepted in zip(wanted, outcomes, strict=True):
            assert isinstance(accepted, Accepted)  # noqa: S101 (others were raised)
            then = after(one.incident, [entry_of(accepted.request)])
            shown.append(shapes.incident(then, pending=[accepted.key.printed]))
        taken = [accepted for accepted in outcomes if isinstance(accepted, Accepted)]
        return shown, _headers(found[0][1], taken)

    def _torn(
        self, wanted: Sequence[_Wanted], outcomes: Sequence[Accepted | BaseException], why: BaseException
    ) -> BaseException:
        """What is said when the log took some changes and not others."""
        if not isinstance(why, RestError):
            return why
        ids = [format_id(one.incident.key.id) for one in wanted]
        taken = [id for id, outcome in zip(ids, outcomes, strict=True) if isinstance(outcome, Accepted)]
        errors = [*why.body["error"]["errors"], f"recorded: {', '.join(taken) or 'none'}"]
        return RestError(why.status, why.body["error"]["code"], str(why), errors, why.headers)

    async def _record(self, request: Request, agent: Agent, wanted: _Wanted) -> Accepted:
        service_id, dedup_key = wanted.incident.parent
        service = self.desk.directory.service(service_id) or _forgotten(service_id)
        event = act_body(wanted.action, agent, incident=format_id(wanted.incident.key.id), note=wanted.note)
        return await self._append(request, agent, service, event | {"dedup_key": dedup_key})

    async def _append(self, request: Request, agent: Agent, service: Service, event: dict[str, Any]) -> Accepted:
        """Appends an act, and writes down in the audit trail who did it and what came of it."""
        said: dict[str, Any] = {
            "token_id": caller_of(request).token.id,
            "by": agent.email,
            "does": event["event_action"],
            "service": service.id,
            "incident": event.get("incident"),
        }
        try:
            accepted = await self.mint.record(service, checked_act(event))
        except InvalidEvent as error:
            self.desk.audit.changed(Deed.ACT, **said, outcome="invalid")
            raise invalid(*error.errors) from error
        except NotTaken as error:
            self.desk.audit.changed(Deed.ACT, **said, outcome="unknown" if error.may_be_recorded else "not recorded")
            advice = "it may be recorded or not: look, then try again" if error.may_be_recorded else "try again"
            message = f"The log of this region did not take it; {advice}"
            raise RestError(503, TOO_SLOW, message, [str(error)], RETRY) from error
        self.desk.audit.changed(Deed.ACT, **said, outcome="recorded", request=accepted.key.printed)
        return accepted

    async def _open(self, request: Request, agent: Agent, new: models.NewIncident) -> Response:
        service = self.desk.directory.service(new.service.id)
        if service is None:
            raise invalid(f"incident.service.id: no service has the id {new.service.id[:80]!r}")
        self.desk.check(request, service.id)
        if new.incident_key is not None:
            await self._refuse_second(service, new.incident_key)
        details = new.body.details if new.body else None
        payload = {
            "summary": new.title,
            "source": agent.email,
            "severity": SEVERITIES[new.urgency],
            **({} if details is None else {"custom_details": {"details": details}}),
        }
        key = new.incident_key or self.mint.random_bytes(16).hex()
        event = act_body("trigger", agent, payload=payload) | {"dedup_key": key}
        freshness = await self.desk.bounded(self.desk.freshness.read())
        accepted = await self._append(request, agent, service, event)
        (incident,) = fold([entry_of(accepted.request)])
        shown = self.desk.shapes(request).incident(incident, pending=[accepted.key.printed])
        return answer(201, {"incident": shown}, _headers(freshness, [accepted]))

    async def _refuse_second(self, service: Service, incident_key: str) -> None:
        where = IncidentFilter(
            services=(service.id,),
            dedup_key=incident_key,
            statuses=(Status.TRIGGERED, Status.ACKNOWLEDGED),
            limit=1,
        )
        if await self.desk.bounded(self.desk.store.find_incidents(where)):
            what = "Open incident with matching dedup key already exists on this service"
            raise RestError(400, BAD_ARGUMENTS, "Arguments Caused Error", [what])


def _wanted(incident: Incident, change: models.Change, agent: Agent) -> _Wanted:
    """What a change asks for; `RestError` when it makes no sense for this incident."""
    id, given = format_id(incident.key.id), change.model_extra or {}
    if later := [name for name in NOT_YET if given.get(name) is not None]:
        raise invalid(*(f"{id}: '{name}' cannot be changed in this version" for name in later))
    note = change.resolution or change.note or ""
    if change.status is None:
        if not note:
            raise invalid(f"{id}: nothing to change: give a status, a note or a resolution")
        return _Wanted(incident, "annotate", note)
    if change.status not in ACTIONS:
        what = f"{id}: status must be one of {', '.join(ACTIONS)}"
        raise RestError(400, INVALID_STATUS, "Invalid Status Provided", [what])
    if incident.status == Status.RESOLVED:
        raise RestError(400, ALREADY_RESOLVED, "Incident Already Resolved", [f"{id} is resolved"])
    if change.status == incident.status and incident.acknowledged_by == agent.email:
        what = f"{id} was acknowledged by {agent.email} before"
        raise RestError(400, ALREADY_ACKNOWLEDGED, "Incident Already Acknowledged", [what])
    return _Wanted(incident, ACTIONS[change.status], note)


def _headers(freshness: Freshness, taken: Sequence[Accepted]) -> dict[str, str]:
    """What an answer to a change says of itself: that it is pending, and which logs have all of it."""
    ack = Ack.ALL_REGIONS if all(accepted.ack is Ack.ALL_REGIONS for accepted in taken) else Ack.REGION
    return {**freshness.headers(pending=True), ACK_HEADER: ack}


def _forgotten(service_id: str) -> Service:
    """A service that the directory has no more: its incidents can still be ended."""
    return Service(service_id, service_id)


# Bodies --------------------------------------------------------------------------------------------------------------


async def body_of(request: Request, model: type[M]) -> M:
    """The body of a request, checked; raises `RestError`."""
    try:
        value, errors = decode(await read_body(request, bytes_max=BODY_BYTES_MAX))
    except BodyTooLarge as error:
        what = f"the body has {error} bytes, more than {BODY_BYTES_MAX}"
        raise RestError(413, INVALID, INVALID_INPUT, [what], {"Connection": "close"}) from error
    except BodyTooSlow as error:
        raise RestError(408, TOO_SLOW, "Request Timeout", [str(error)], {"Connection": "close"}) from error
    except ClientDisconnect as error:
        raise invalid("the client went away") from error  # nobody is there to read it
    except NotJson as error:
        raise invalid(f"the body is not JSON: {error}") from error
    if errors:
        raise invalid(*bounded(errors))
    try:
        return model.model_validate(value, strict=True)
    except ValidationError as error:
        flaws = error.errors(include_url=False, include_input=False)
        raise invalid(*bounded([f"{'.'.join(map(str, flaw['loc']))}: {flaw['msg']}" for flaw in flaws])) from error


def taking(model: type[BaseModel], *, needs_sender: bool = True) -> dict[str, Any]:
    """How a route that reads such a body is described."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
    sender = {"in": "header", "name": "From", "required": needs_sender, "schema": {"type": "string", "format": "email"},
              "description": "The email address of the person who acts."}  # fmt: skip
    return {"requestBody": {"required": True, "content": content}, "parameters": [sender]}


def _many() -> models.Responses:
    responses = models.unpaged("incidents", models.Incident)
    too_many = {"model": models.ErrorBody, "description": f"More than {CHANGES_MAX}, or too large a body."}
    return {200: responses[200], 404: responses[404], 413: too_many}
