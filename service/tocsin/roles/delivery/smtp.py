"""Mail: pages by SMTP, over a few connections that are kept.

What is certain is what the server had not all of, or refused in words. Once the mail itself was sent, only an answer
tells whether it was taken: without one nobody knows, and the next region is to decide.

4xx, no connection, no answer before the mail     failed, again
4xx to the recipient                              failed, again; the server is well
5xx to the recipient or to the mail               failed for good: another mail may pass
5xx to us or to our sender, no TLS, no login      failed, again: nothing will pass before somebody mends it
no answer after the mail                          unknown

The Message-ID is the bundle's and the same at each try, by which many a mailbox knows a repeat.
"""

import asyncio
import contextlib
import hashlib
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import formatdate
from typing import Final, NamedTuple

import aiosmtplib

from tocsin.core.paging.feedback import Outcome
from tocsin.core.paging.people import Method, MethodKind
from tocsin.engines.addresses import fault_of
from tocsin.roles.delivery.message import Message
from tocsin.roles.delivery.plain import clean
from tocsin.roles.delivery.provider import Delivery, refused
from tocsin.topology.delivery import Smtp
from tocsin.topology.engines import host_and_port

PREPARE_S: Final = 10.0
"""From no connection to a recipient who was taken: what takes longer has certainly failed."""
ANSWER_S: Final = 15.0
"""How long the answer to the mail itself is waited for."""
QUIT_S: Final = 1.0
IDLE_S_MAX: Final = 20.0
"""A connection that was idle for longer is not used again: its server may be about to close it."""
PERMANENT: Final = 500
REPLY_SHOWN_MAX: Final = 200
_FAILURES: Final = aiosmtplib.SMTPException, OSError, TimeoutError, ValueError


class _Idle(NamedTuple):
    client: aiosmtplib.SMTP
    since_s: float


class SmtpProvider:
    """Sends mails by one server. Opens as many connections as there are calls at one time."""

    def __init__(self, server: Smtp, trusted: ssl.SSLContext, password: str | None) -> None:
        """`password` goes with the `login` of `server`."""
        self._server = server
        self._trusted = trusted
        self._password = password
        self._idle: deque[_Idle] = deque()

    async def deliver(self, message: Message, method: Method) -> Delivery:
        """See `Provider.deliver`."""
        if fault := fault_of(MethodKind.EMAIL, method.address):
            return refused(f"the address {fault}")
        try:
            mail = compose(message, method.address, self._server.sender)
        except (MessageError, ValueError, IndexError) as error:  # IndexError: of the library's parser of addresses
            return refused(f"no mail can be addressed to it: {error}")
        async with self._connection() as client:
            if failed := await self._address(client, method.address):
                return failed
            try:
                answer = await client.data(mail, timeout=ANSWER_S)
            except aiosmtplib.SMTPDataError as error:
                is_final = error.code >= PERMANENT
                return Delivery(Outcome.FAILED, _reply(error), is_final=is_final, is_well=is_final)
            except _FAILURES as error:
                client.close()
                return Delivery(Outcome.UNKNOWN, f"no answer to the mail: {_said(error)}")
        return Delivery(Outcome.DELIVERED, clean(f"{answer.code} {answer.message}", REPLY_SHOWN_MAX))

    async def close(self) -> None:
        """Ends all connections."""
        while self._idle:
            await _quit(self._idle.popleft().client)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[aiosmtplib.SMTP]:
        """A connection of our own meanwhile. It is kept when it is still one afterwards."""
        client = self._take()
        try:
            yield client
        except BaseException:
            client.close()
            raise
        if client.is_connected:
            self._idle.append(_Idle(client, time.monotonic()))

    def _take(self) -> aiosmtplib.SMTP:
        """One that was idle for a short while, or one that is yet to connect."""
        now_s = time.monotonic()
        while self._idle:
            idle = self._idle.pop()
            if idle.client.is_connected and now_s - idle.since_s <= IDLE_S_MAX:
                return idle.client
            idle.client.close()
        server, login = self._server, self._server.login
        host, port = host_and_port(server.server)
        return aiosmtplib.SMTP(
            hostname=host,
            port=port,
            username=login.username if login else None,
            password=self._password if login else None,
            local_hostname=server.sender.rpartition("@")[2],
            timeout=PREPARE_S,
            use_tls=server.tls == "implicit",
            start_tls=server.tls == "starttls",
            tls_context=self._trusted,
        )

    async def _address(self, client: aiosmtplib.SMTP, address: str) -> Delivery | None:
        """Gets as far as a recipient who was taken; else tells how that failed."""
        try:
            async with asyncio.timeout(PREPARE_S):
                await self._connect(client)
                utf8 = not address.isascii()
                if utf8 and not client.supports_extension("smtputf8"):
                    return refused("the server takes no address with such letters")
                await client.mail(self._server.sender, options=["SMTPUTF8"] if utf8 else [])
                await client.rcpt(address, encoding="utf-8" if utf8 else "ascii")
        except aiosmtplib.SMTPRecipientRefused as error:
            return Delivery(Outcome.FAILED, _reply(error), is_final=error.code >= PERMANENT, is_well=True)
        except aiosmtplib.SMTPResponseException as error:
            return Delivery(Outcome.FAILED, f"the server refuses us: {_reply(error)}")
        except _FAILURES as error:
            client.close()
            return Delivery(Outcome.FAILED, f"no connection: {_said(error)}")
        return None

    async def _connect(self, client: aiosmtplib.SMTP) -> None:
        """Connects, unless it is connected. RSET shows whether it still is, and clears what a refused mail left."""
        if client.is_connected:
            try:
                await client.rset()
            except aiosmtplib.SMTPException:
                client.close()
        if not client.is_connected:
            await client.connect()
        if client.is_ehlo_or_helo_needed:
            await client.ehlo()


async def _quit(client: aiosmtplib.SMTP) -> None:
    with contextlib.suppress(aiosmtplib.SMTPException, OSError):
        await client.quit(timeout=QUIT_S)
    client.close()


def compose(message: Message, address: str, sender: str) -> bytes:
    """The mail. Raises ValueError, `MessageError` or IndexError for an address that no mail can have."""
    mail = EmailMessage(policy=SMTP if address.isascii() else SMTPUTF8)
    mail["Subject"] = message.subject
    (here, at), (user, domain) = (one.rsplit("@", 1) for one in (sender, address))
    mail["From"] = Address("Tocsin", here, at)
    mail["To"] = Address("", user, domain)
    mail["Date"] = formatdate()
    name = hashlib.blake2b(message.id.encode(), digest_size=16).hexdigest()
    mail["Message-ID"] = f"<{name}@{at}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's machine is to answer
    mail.set_content(message.long, cte="quoted-printable")
    return mail.as_bytes()


def _reply(error: aiosmtplib.SMTPResponseException) -> str:
    return clean(f"{error.code} {error.message}", REPLY_SHOWN_MAX)


def _said(error: BaseException) -> str:
    return clean(str(error), REPLY_SHOWN_MAX) or type(error).__name__
