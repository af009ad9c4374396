"""Mail, by a real server, over TLS and off it, however it misbehaves."""

import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
import trustme
from pydantic import ValidationError

from tests.unit.roles.delivery.bundles import assignment, bundle
from tests.unit.roles.delivery.mail_server import MailServer, serving
from tocsin.core.paging.effects import Bundle
from tocsin.core.paging.feedback import Outcome
from tocsin.core.paging.people import Method, MethodKind
from tocsin.roles.delivery import plain, smtp
from tocsin.roles.delivery.provider import Delivery
from tocsin.roles.delivery.smtp import SmtpProvider
from tocsin.topology.delivery import Smtp
from tocsin.topology.engines import Password

LOGIN: dict[str, Any] = {"login": {"by": "password", "username": "tocsin", "password_file": "smtp.password"}}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def server(authority: trustme.CA) -> AsyncIterator[MailServer]:
    async with serving(authority, "starttls") as found:
        yield found


@pytest.fixture
async def provider(authority: trustme.CA, server: MailServer) -> AsyncIterator[SmtpProvider]:
    async with opened(authority, server) as found:
        yield found


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a server that hangs is not waited for as long as a real one."""
    monkeypatch.setattr(smtp, "PREPARE_S", 0.3)
    monkeypatch.setattr(smtp, "ANSWER_S", 0.3)


@contextlib.asynccontextmanager
async def opened(
    authority: trustme.CA, server: MailServer, tls: Literal["starttls", "implicit", "none"] = "starttls", **given: Any
) -> AsyncIterator[SmtpProvider]:
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    settings = Smtp(server=f"localhost:{server.port}", tls=tls, sender="tocsin@example.org", **given)
    found = SmtpProvider(settings, trusted, "s3cret")
    yield found
    await found.close()


async def send(provider: SmtpProvider, one: Bundle | None = None, address: str = "ada@example.org") -> Delivery:
    return await provider.deliver(plain.render(one or bundle()), Method("mail", MethodKind.EMAIL, address))


@pytest.mark.parametrize("tls", ["starttls", "implicit", "none"])
async def test_a_mail_arrives_whichever_way_the_connection_is_made(
    authority: trustme.CA, tls: Literal["starttls", "implicit", "none"]
) -> None:
    async with serving(authority, tls) as server, opened(authority, server, tls) as provider:
        delivery = await send(provider)

    assert delivery == Delivery(Outcome.DELIVERED, "250 OK")
    [mail] = server.mails
    assert (mail["From"], mail["To"], mail["Auto-Submitted"]) == (
        "Tocsin <tocsin@example.org>",
        "ada@example.org",
        "auto-generated",
    )
    assert mail["Subject"] == "[checkout] Disk 0 is full"
    assert "Disk 0 is full" in mail.get_content()


async def test_repeats_of_a_page_have_one_message_id_and_pages_have_their_own(
    server: MailServer, provider: SmtpProvider
) -> None:
    for one in (first := bundle(), first, bundle(sequence=2)):
        await send(provider, one)

    ids = [mail["Message-ID"] for mail in server.mails]
    assert ids[0] == ids[1] != ids[2]
    assert len(server.sessions) == 1, "a connection is kept"


async def test_a_title_cannot_add_headers_and_any_letters_arrive(server: MailServer, provider: SmtpProvider) -> None:
    title = "full\r\nBcc: all@example.org\r\n\r\n.\r\nMAIL FROM: <x> \u202eÄrger 🔥\x1b[2J"
    await send(provider, bundle(assignment(title=title)))

    [mail] = server.mails
    assert mail["Bcc"] is None
    assert "Bcc: all@example.org" in mail["Subject"]
    assert "Ärger 🔥" in mail["Subject"]
    assert "\x1b" not in mail.get_content()


@pytest.mark.parametrize(
    ("command", "reply", "is_final", "is_well"),
    [
        ("MAIL", "451 try later", False, False),
        ("MAIL", "550 who are you", False, False),
        ("RCPT", "450 greylisted", False, True),
        ("RCPT", "550 no such mailbox", True, True),
        ("DATA", "451 try later", False, False),
        ("DATA", "554 looks like spam", True, True),
        ("MAIL", "421 going down", False, False),
    ],
)
async def test_what_the_server_refuses_has_certainly_failed(
    server: MailServer,
    provider: SmtpProvider,
    command: str,
    reply: str,
    is_final: bool,  # noqa: FBT001 (a column)
    is_well: bool,  # noqa: FBT001 (a column)
) -> None:
    server.replies = {command: reply}
    delivery = await send(provider)

    assert delivery.outcome is Outcome.FAILED
    assert (delivery.is_final, delivery.is_well) == (is_final, is_well)
    assert reply in delivery.reason
    server.replies = {}
    assert (await send(provider)).outcome is Outcome.DELIVERED, "a refused mail spoils no connection"


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("how", ["hang", "drop"])
@pytest.mark.parametrize("command", ["MAIL", "RCPT"])
async def test_before_the_mail_silence_and_a_lost_connection_are_certain_failures(
    server: MailServer, provider: SmtpProvider, how: str, command: str
) -> None:
    setattr(server, how, command)
    delivery = await send(provider)

    assert (delivery.outcome, delivery.is_final) == (Outcome.FAILED, False)
    setattr(server, how, "")
    assert (await send(provider)).outcome is Outcome.DELIVERED


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("how", ["hang", "drop"])
async def test_after_the_mail_nobody_knows_and_it_is_not_sent_again(
    server: MailServer, provider: SmtpProvider, how: str
) -> None:
    setattr(server, how, "DATA")
    delivery = await send(provider)

    assert (delivery.outcome, delivery.may_repeat) == (Outcome.UNKNOWN, False)


async def test_a_connection_that_the_server_closed_meanwhile_is_opened_anew(
    server: MailServer, provider: SmtpProvider
) -> None:
    await send(provider)
    await server.hang_up()

    assert (await send(provider)).outcome is Outcome.DELIVERED
    assert len(server.sessions) == 2


async def test_who_logs_in_does_so_over_tls_and_a_wrong_password_is_told_without_itself(authority: trustme.CA) -> None:
    async with serving(authority, "starttls", logins=True) as server:
        async with opened(authority, server, **LOGIN) as provider:
            assert (await send(provider)).outcome is Outcome.DELIVERED
        async with opened(authority, server, **LOGIN) as provider:
            provider._password = "wr0ng"
            delivery = await send(provider)

    assert (delivery.outcome, delivery.is_final) == (Outcome.FAILED, False)
    assert "535" in delivery.reason
    assert "wr0ng" not in delivery.reason


async def test_a_server_of_another_name_or_without_tls_is_told_nothing(authority: trustme.CA) -> None:
    async with serving(trustme.CA(), "starttls") as stranger, opened(authority, stranger) as provider:
        assert (await send(provider)).outcome is Outcome.FAILED
    async with serving(authority, "none") as open_one, opened(authority, open_one) as provider:
        assert "STARTTLS" in (await send(provider)).reason
    assert stranger.sessions == open_one.sessions == []


async def test_a_port_where_nobody_listens_is_a_failure_for_certain(authority: trustme.CA) -> None:
    server = MailServer()
    server.port = 1
    async with opened(authority, server) as provider:
        assert (await send(provider)).outcome is Outcome.FAILED


@pytest.mark.parametrize("address", ["", "ada", "ada@example.org\r\nRCPT TO:<all@example.org>", "a b@x.org"])
async def test_what_is_no_address_is_refused_and_never_said_to_a_server(
    server: MailServer, provider: SmtpProvider, address: str
) -> None:
    delivery = await send(provider, address=address)

    assert (delivery.outcome, delivery.is_final) == (Outcome.FAILED, True)
    assert server.sessions == []


async def test_an_address_of_other_letters_is_taken_where_the_server_does(
    server: MailServer, provider: SmtpProvider
) -> None:
    assert (await send(provider, address="jörg@example.org")).outcome is Outcome.DELIVERED
    assert server.mails[0]["To"] == "jörg@example.org"


def test_a_password_never_crosses_a_network_in_plain_text() -> None:
    with pytest.raises(ValidationError, match=r"tls is none, and mail\.example\.org is not this machine"):
        Smtp(server="mail.example.org:25", tls="none", sender="tocsin@example.org")
    assert Smtp(server="[::1]:25", tls="none", sender="t@example.org", login=Password(**LOGIN["login"])).login
