"""A test page: whether a person's methods reach them, each tried once and told as it is.

It goes by the same providers and texts as a real page and says that it is none: in its title, and by the word `test`
where an intent says why it was decided. No log hears of it.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from tocsin.core.ids import Parent, RequestKey, digest
from tocsin.core.paging.assignments import OPEN, Assignment, pair_of
from tocsin.core.paging.effects import Bundle, Item
from tocsin.core.paging.feedback import ChannelKey, Intent, IntentId, Outcome
from tocsin.core.paging.people import Method, MethodKind, Person, Urgency
from tocsin.roles.delivery.deliveries import Means
from tocsin.roles.delivery.message import Message
from tocsin.roles.delivery.provider import Delivery

SERVICE: Final = "tocsin-test"
TITLE: Final = "This is a test page. Nothing is wrong and nothing is to be done"


class Tried(NamedTuple):
    """A method, how the call ended and how long it took; `advice` is empty when there is nothing to mend."""

    method: Method
    delivery: Delivery
    took_s: float
    advice: str


async def try_out(
    person: Person, method: Method, means: Mapping[str, Means], render: Callable[[Bundle], Message], region: str
) -> Tried:
    """Sends a test page by one method, once, without fallback and whether or not the method is verified."""
    one = means.get(method.kind)
    if one is None:
        delivery = Delivery(Outcome.FAILED, f"region {region} has no provider for {method.kind}")
        return Tried(method, delivery, 0.0, _NO_PROVIDER.get(method.kind, "write a kind that there is"))
    begun_s = time.monotonic()
    delivery = await one.provider.deliver(render(sample(person, method, region, time.time_ns() // 1000)), method)
    return Tried(method, delivery, time.monotonic() - begun_s, advice(method, delivery))


def sample(person: Person, method: Method, region: str, at_us: int) -> Bundle:
    """The bundle of a test page."""
    name = f"{person.id}/{method.id}"
    incident = RequestKey(Parent(SERVICE, name), at_us // 1_000_000 << 32, digest(name.encode()))
    about = Assignment(person.id, incident, at_us, OPEN, Urgency.LOW, TITLE, f"region {region}", SERVICE, 1)
    channel = ChannelKey(person.id, method.id, Urgency.LOW)
    # No owner has the epoch 0, so no page has this name.
    intent = Intent(IntentId(region, 0, at_us), channel, pair_of(incident, "test"), at_us, at_us, 0, "test")
    return Bundle(intent, person, method, (), (Item(about, is_new=True),))


_NO_PROVIDER: Final[Mapping[str, str]] = {MethodKind.EMAIL: "name a mail server in the region's file: delivery.smtp"}
_PRIVATE: Final[Mapping[str, str]] = {
    MethodKind.WEBHOOK: "where users are trusted with that, set delivery.webhooks.allow_private in the region's file",
    MethodKind.APPRISE: "where users are trusted with that, set delivery.apprise.allow_private in the region's file",
}
_FINAL: Final[Mapping[str, str]] = {
    MethodKind.EMAIL: "see whether the address is right, and what the mail server's log says",
    MethodKind.WEBHOOK: "see whether the URL is right, and whether its receiver checks with the method's own secret: "
    "tocsin notify secret",
    MethodKind.APPRISE: "see whether the URL is right",
}
_AGAIN: Final[Mapping[str, str]] = {
    MethodKind.EMAIL: "see whether delivery.smtp in the region's file is right (server, tls, ca_file, login), and "
    "whether the server runs",
    MethodKind.WEBHOOK: "see whether its receiver runs and can be reached from here, and has a certificate that is "
    "trusted here (delivery.webhooks.ca_file)",
    MethodKind.APPRISE: "see whether the URL is right, and what the service says of it",
    MethodKind.INBOX: "see who may write into the data directory",
}


def advice(method: Method, delivery: Delivery) -> str:
    """What to do about how a call ended."""
    if delivery.outcome is Outcome.DELIVERED:
        return "" if method.verified else "when it has arrived, say so in the directory: verified: true"
    if "inside a network" in delivery.reason:
        return _PRIVATE.get(method.kind, "")
    return (_FINAL if delivery.is_final else _AGAIN).get(method.kind, "")
