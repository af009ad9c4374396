"""The port to those who carry messages to people: one adapter a kind of contact method."""

from typing import NamedTuple, Protocol

from tocsin.core.paging.feedback import Outcome
from tocsin.core.paging.people import Method
from tocsin.roles.delivery.message import Message


class Delivery(NamedTuple):
    """How one call of a provider ended. `reason` is for people, without secrets.

    `retry_after_s`: the provider asked for that pause. `is_final`: another try by the same method would end alike.
    `is_well`: the provider did its work, and it is this message or address that is at fault. `may_repeat`: one whose
    end is not known is sent again all the same, since the receiver knows a repeat by the message's id, or since the
    provider tells so little that most of what is not known has failed.
    """

    outcome: Outcome
    reason: str = ""
    retry_after_s: float | None = None
    is_final: bool = False
    is_well: bool = False
    may_repeat: bool = False


def refused(reason: str) -> Delivery:
    """Refused for what this message or its address is: for certain, for good, and by a provider that is well."""
    return Delivery(Outcome.FAILED, reason, is_final=True, is_well=True)


class Provider(Protocol):
    """Carries messages for contact methods of one kind."""

    async def deliver(self, message: Message, method: Method) -> Delivery:
        """Hands a message over. Raises nothing for what the outside does: a call whose end is not known is UNKNOWN.

        It is FAILED only when it is certain that nobody will be told by it. Ends within the time that the caller gives
        (it cancels), and leaves nothing behind when it is cancelled.
        """

    async def close(self) -> None:
        """Ends all connections."""
