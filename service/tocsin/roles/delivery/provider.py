"""The port to those who carry messages to people: one adapter a kind of contact method."""

from typing import NamedTuple, Protocol

from tocsin.core.paging.feedback import Outcome
from tocsin.core.paging.people import Method
from tocsin.roles.delivery.message import Message


class Delivery(NamedTuple):
    """How one call of a provider ended. `reason` is for people, without secrets.

    `retry_after_s`: the provider asked for that pause. `is_final`: this message or address is at fault, so another try
    by the same method would end alike; the provider itself is well. `may_repeat`: the receiver knows a repeat by the
    message's id, so one whose end is not known is sent again.
    """

    outcome: Outcome
    reason: str = ""
    retry_after_s: float | None = None
    is_final: bool = False
    may_repeat: bool = False


class Provider(Protocol):
    """Carries messages for contact methods of one kind."""

    async def deliver(self, message: Message, method: Method) -> Delivery:
        """Hands a message over. Raises nothing for what the outside does: a call whose end is not known is UNKNOWN.

        It is FAILED only when it is certain that nobody will be told by it. Ends within the time that the caller gives
        (it cancels), and leaves nothing behind when it is cancelled.
        """

    async def close(self) -> None:
        """Ends all connections."""
