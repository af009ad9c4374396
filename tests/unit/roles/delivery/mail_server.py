"""A real mail server for tests, in the test's own loop, that can be told to misbehave."""
# ruff: noqa: N802 - the library looks handlers up by the command's name in capitals

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Literal, cast

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


class MailServer:
    """Takes mails. `replies`: what it answers to MAIL, RCPT or DATA in place of yes; `hang` and `drop` name a command
    at which it says nothing for ever, or closes the connection.
    """

    def __init__(self) -> None:
        self.port = 0
        self.mails: list[EmailMessage] = []
        self.replies: dict[str, str] = {}
        self.hang = ""
        self.drop = ""
        self.sessions: list[Session] = []
        self.protocols: list[SMTP] = []

    async def handle_MAIL(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        if session not in self.sessions:
            self.sessions.append(session)
        envelope.mail_from = address
        return await self._reply("MAIL", server)

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        reply = await self._reply("RCPT", server)
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        reply = await self._reply("DATA", server)
        if reply.startswith("250"):
            content = cast("bytes", envelope.content)
            self.mails.append(message_from_bytes(content, policy=policy.default))
        return reply

    async def hang_up(self) -> None:
        """Closes all connections."""
        for one in self.protocols:
            if one.transport is not None:
                one.transport.close()
        await asyncio.sleep(0.01)

    def login(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=data == LoginPassword(b"tocsin", b"s3cret"), handled=False)

    async def _reply(self, command: str, server: SMTP) -> str:
        if command == self.hang:
            await asyncio.Event().wait()
        if command == self.drop:
            assert server.transport is not None
            server.transport.close()
        return self.replies.get(command, "250 OK")


@contextlib.asynccontextmanager
async def serving(
    authority: trustme.CA, tls: Literal["starttls", "implicit", "none"], *, logins: bool = False
) -> AsyncIterator[MailServer]:
    """One on a free port of this machine, with a certificate for localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    found = MailServer()

    def protocol() -> SMTP:
        one = SMTP(
            found,
            hostname="localhost",
            enable_SMTPUTF8=True,
            tls_context=context if tls == "starttls" else None,
            require_starttls=tls == "starttls",
            authenticator=found.login if logins else None,
            auth_required=logins,
            auth_require_tls=tls == "starttls",
        )
        found.protocols.append(one)
        return one

    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=context if tls == "implicit" else None)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        await found.hang_up()
