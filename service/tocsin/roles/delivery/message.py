"""A message: a bundle in words. What providers send, whichever they are."""

from typing import NamedTuple

from tocsin.core.paging.effects import Bundle


class Message(NamedTuple):
    """`subject` is one line; `short` fits a text message, `long` a mail, `spoken` can be read out. All are plain text
    without control characters (`long` has line feeds), whatever the incidents' titles hold.

    `id` names the bundle, and is the same at each try.
    """

    id: str
    bundle: Bundle
    subject: str
    short: str
    long: str
    spoken: str
