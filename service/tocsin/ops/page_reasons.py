"""Why was somebody paged for an incident, or why not? From the log, the directory, and what notifiers keep.

First the facts, as data (`facts`), then the same in sentences (`in_words`). When a page is due is not worked out here
again: what is kept of the user is asked by the functions that the notifier itself uses.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from tocsin.core.ids import format_id
from tocsin.core.incidents import Incident, Status
from tocsin.core.paging.assignments import pair_of, user_partition
from tocsin.core.paging.concern import concern_name
from tocsin.core.paging.explain import ChannelView, explain
from tocsin.core.paging.people import DEFAULT_RULE, Method, Rule
from tocsin.core.paging.state import decode_user
from tocsin.core.paging.user import User, delay_us
from tocsin.engines.directory import Directory
from tocsin.engines.store import Store
from tocsin.ops.pages import Page, pages_of
from tocsin.topology import Region

When = Callable[[int], str]
"""A Unix time in microseconds as a person reads it."""
Ways = Sequence[tuple[Rule, Method]]

WHY: Final = {
    "due": "a rule was due",
    "paced": "a rule was due before, and it waited out the pace or the end of the page before it",
    "backstop": "no region before it in the order had paged in time",
    "again": "the page before it is not known to have arrived",
}
"""What made the moment, by the word that an intent has for it."""


class Look:
    """What is looked at: one user's part in one incident, as each region that can be read has it."""

    def __init__(self, user: str, incident: Incident, directory: Directory, now_us: int) -> None:
        self.user = user
        self.incident = incident
        self.now_us = now_us
        self.person = directory.user(user)
        self.service = directory.service(incident.parent.service)
        self.urgency = self.service.urgency_of(incident.urgency) if self.service else incident.urgency
        self.ways: Ways = list(self.person.reached_by(self.urgency)) if self.person else []

    async def facts(self, stores: Sequence[tuple[Region, Store]]) -> dict[str, Any]:
        """Everything that explains it, as JSON knows it. Times are Unix microseconds. Raises `EngineError`."""
        incident = self.incident
        entries = []
        for _, store in stores:
            entries += (await store.entries_of([incident.parent])).get(incident.parent, [])
        pages = [page for page in pages_of(entries) if page.told.user == self.user and self._is_about(page)]
        return {
            "user": self.user,
            "name": self.person.name if self.person else None,
            "incident": {
                "id": format_id(incident.key.id),
                "title": incident.title,
                "service": incident.parent.service,
                "dedup_key": incident.parent.dedup_key,
                "status": incident.status,
                "urgency": self.urgency,
                "created_us": incident.created_us,
                "acknowledged_us": incident.acknowledged_us,
                "resolved_us": incident.resolved_us,
            },
            "obstacles": list(self._obstacles()),
            "rules": [self._rule(rule, method) for rule, method in self.ways],
            "pages": [page.facts for page in reversed(pages)],
            "regions": {region.name: await self._kept(region, store) for region, store in stores},
        }

    def _is_about(self, page: Page) -> bool:
        names = {format_id(self.incident.key.id), *map(format_id, self.incident.aliases)}
        return any(one.incident in names and one.parent == self.incident.parent for one in page.incidents)

    def _obstacles(self) -> Iterator[str]:
        """Why nothing would reach the user as things are now."""
        service, person, user = self.service, self.person, self.user
        if service is None:
            yield f"the directory has no service {self.incident.parent.service}"
        elif not service.responders:
            yield f"service {service.id} has no responders: nobody is paged for it"
        elif user not in service.responders:
            yield f"{user} is no responder of service {service.id}; those are {', '.join(service.responders)}"
        if person is None:
            yield f"the directory has no user {user}"
        elif not self.ways:
            yield f"{user} cannot be reached: no contact method is verified and not blocked"
        elif self.ways[0][0].id == DEFAULT_RULE:
            method = self.ways[0][1]
            yield f"{user} has no rule for {self.urgency} urgency that leads anywhere: {method.id} is used at once"

    def _rule(self, rule: Rule, method: Method) -> dict[str, Any]:
        """A rule, when it was or is due, and what came before that."""
        incident = self.incident
        due_us = incident.created_us + delay_us(rule.delay_s)
        ended_us = incident.acknowledged_us or incident.resolved_us
        return {
            "rule": rule.id,
            "method": method.id,
            "kind": method.kind,
            "delay_s": rule.delay_s,
            "due_us": due_us,
            "was_in_time": ended_us is not None and ended_us <= due_us,
        }

    async def _kept(self, region: Region, store: Store) -> dict[str, Any]:
        """What a region's notifier has kept of it."""
        rows = await store.kept_users(user_partition(self.user, region.partitions))
        row = next((row for row in rows if row.user == self.user), None)
        if row is None:
            return {"known": False, "open": False, "channels": [], "why": "its notifier has kept nothing of the user"}
        user = decode_user(row)
        if user is None:
            return {"known": False, "open": False, "channels": [], "why": "what its notifier kept is damaged"}
        concern = user.find(concern_name(self.incident.parent, self.incident.key.id))
        for _, method in self.ways:
            user.channel(method.id, self.urgency)  # one that has sent nothing yet is to be seen too
        views = {(view.method, view.urgency): view for view in explain(user, region.paging, self.now_us).channels}
        return {
            "known": concern is not None,
            "open": concern is not None and concern.is_open,
            "channels": [self._channel(user, way, views) for way in self.ways],
            "why": "" if concern is not None else "its notifier was never told that the incident is the user's",
        }

    def _channel(
        self, user: User, way: tuple[Rule, Method], views: Mapping[tuple[str, str], ChannelView]
    ) -> dict[str, Any]:
        """How it stands with one rule: which pages were about it, or when there will be one and why then."""
        rule, method = way
        view = views.get((method.id, self.urgency))
        channel = user.channel(method.id, self.urgency)
        pair = pair_of(self.incident.key, rule.id)
        flights = channel.covers.of(pair) if channel is not None and channel.covers is not None else ()
        named = {flight.intent.name for flight in flights}
        printed = str(self.incident.key)
        is_waiting = view is not None and any(one.incident == printed and one.rule == rule.id for one in view.waiting)
        return {
            "rule": rule.id,
            "method": method.id,
            "pages": [msgspec.to_builtins(one) for one in view.sent if one.intent in named] if view else [],
            "next_us": view.next_us if view and is_waiting else None,
            "because": view.because if view and is_waiting else None,
        }


# In words ------------------------------------------------------------------------------------------------------------


def in_words(facts: Mapping[str, Any], when: When) -> list[str]:
    """The facts as lines of text; an indented line belongs to the one above it."""
    incident, user = facts["incident"], facts["user"]
    return [
        f"incident {incident['id']}: {incident['title']}",
        f"  service {incident['service']}, {incident['urgency']} urgency, since {when(incident['created_us'])}",
        *(f"  {line}" for line in _course(incident, when)),
        "",
        f"{user} was paged for it" if facts["pages"] else f"{user} was not paged for it, as far as can be read",
        *(f"  {line}" for page in facts["pages"] for line in _page(page, when)),
        *(f"  {line}" for line in facts["obstacles"]),
        *(f"  {line}" for rule in facts["rules"] for line in _rule(rule, incident, when)),
        *(f"  region {name}: {line}" for name, kept in facts["regions"].items() for line in _kept(kept, when)),
    ]


def _course(incident: Mapping[str, Any], when: When) -> Iterator[str]:
    if incident["acknowledged_us"] is not None:
        yield f"acknowledged {when(incident['acknowledged_us'])}"
    if incident["resolved_us"] is not None:
        yield f"resolved {when(incident['resolved_us'])}"
    if incident["status"] == Status.TRIGGERED:
        yield "nobody has acknowledged it"


def _page(page: Mapping[str, Any], when: When) -> Iterator[str]:
    late_s = max(0.0, (page["at_us"] - page["due_us"]) / 1e6)
    reason = f": {page['reason']}" if page["reason"] else ""
    yield (
        f"{when(page['at_us'])} by {page['taken_by'] or page['method']}: {page['outcome']}{reason} "
        f"(page {page['bundle']} about {len(page['incidents'])})"
    )
    yield (
        f"  region {page['region']} sent it, at place {page['place']}, {late_s:.1f} s after {when(page['due_us'])}: "
        f"{WHY.get(page['why'], page['why'])}"
    )


def _rule(rule: Mapping[str, Any], incident: Mapping[str, Any], when: When) -> Iterator[str]:
    due = when(rule["due_us"])
    line = f"rule {rule['rule']}: {rule['method']} ({rule['kind']}) after {rule['delay_s']:g} s, so {due}"
    if rule["was_in_time"]:
        how = "acknowledged" if incident["acknowledged_us"] is not None else "resolved"
        line += f"; it was {how} before that, so this rule pages nobody"
    yield line


def _kept(kept: Mapping[str, Any], when: When) -> Iterator[str]:
    if kept["why"]:
        yield kept["why"]
        return
    if not kept["open"]:
        yield "the incident is not the user's to be told any more"
    for channel in kept["channels"]:
        for page in channel["pages"]:
            yield f"{channel['method']}: page {page['intent']} is about it: {page['outcome']}"
        if channel["next_us"] is not None:
            yield f"{channel['method']}: pending until {when(channel['next_us'])}: {channel['because']}"
