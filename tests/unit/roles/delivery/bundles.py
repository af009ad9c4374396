"""Bundles for the tests of stage two."""

import time

from tocsin.core.ids import Parent, RequestKey, digest
from tocsin.core.paging.assignments import Assignment, pair_of
from tocsin.core.paging.effects import Bundle, Item
from tocsin.core.paging.feedback import ChannelKey, Intent, IntentId
from tocsin.core.paging.people import Method, MethodKind, Person

INBOX = Method("inbox", MethodKind.INBOX, "desk")


def assignment(number: int = 0, *, user: str = "ada", service: str = "checkout", title: str = "") -> Assignment:
    """An open one."""
    incident = RequestKey(Parent(service, f"disk/{number}"), 1_700_000_000 << 32 | number, digest(b"%d" % number))
    title = title or f"Disk {number} is full"
    return Assignment(user, incident, 1_700_000_000_000_000, "triggered", "high", title, f"db-{number}", service, 1)


def bundle(
    *assignments: Assignment,
    methods: tuple[Method, ...] = (INBOX,),
    urgency: str = "high",
    sequence: int = 1,
    due_us: int = 0,
    at_us: int | None = None,
) -> Bundle:
    """A bundle of region a about these incidents, by the first of the methods."""
    about = assignments or (assignment(),)
    user = about[0].user
    covers = b"".join(pair_of(one.incident, "now") for one in about)
    at_us = time.time_ns() // 1000 if at_us is None else at_us
    channel = ChannelKey(user, methods[0].id, urgency)
    intent = Intent(IntentId("a", 1, sequence), channel, covers, due_us or at_us, at_us, 0, "due")
    person = Person(user, user.title(), f"{user}@example.org", methods)
    return Bundle(intent, person, methods[0], methods[1:], tuple(Item(one, is_new=True) for one in about))
