"""Stage two of a region, as its file describes it."""

import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from tocsin.core.paging.people import Method, MethodKind
from tocsin.engines.errors import Misconfigured
from tocsin.roles.delivery.apprise import AppriseProvider, target_name
from tocsin.roles.delivery.carrier import Terms
from tocsin.roles.delivery.deliveries import Deliveries, Means
from tocsin.roles.delivery.inbox import InboxProvider
from tocsin.roles.delivery.signing import load_key
from tocsin.roles.delivery.smtp import SmtpProvider
from tocsin.roles.delivery.webhook import WebhookProvider
from tocsin.roles.delivery.wording import Wording
from tocsin.telemetry import NOTHING_FOLLOWED, Meters, Traces
from tocsin.topology import Region
from tocsin.topology.delivery import Smtp

CALL_S_MAX = 30.0
"""Above all that a provider's own limits of time add up to: those tell more of what happened."""


def open_deliveries(
    region: Region, at: Callable[[Path], Path], meters: Meters, traces: Traces = NOTHING_FOLLOWED
) -> Deliveries:
    """The region's stage two; `at` tells where a path of the file is. Raises `Misconfigured`."""
    return Deliveries(
        means(region, at, meters),
        wording(region, at).render,
        meters,
        end_s_max=region.paging.end_s_max,
        queue_max=region.delivery.queue_max,
        traces=traces,
    )


def wording(region: Region, at: Callable[[Path], Path]) -> Wording:
    """What a region's pages say; raises `Misconfigured`."""
    own = region.delivery.templates_dir
    if own is not None and not at(own).is_dir():
        raise Misconfigured(
            f"{at(own)}, the templates_dir of region {region.name}, is no folder: make it, or leave it out"
        )
    return Wording(at(own) if own else None)


def means(region: Region, at: Callable[[Path], Path], meters: Meters) -> dict[str, Means]:
    """The region's providers, by the kind of method that they carry; raises `Misconfigured`."""
    delivery = region.delivery
    hooks, calls = delivery.webhooks, delivery.apprise
    webhook = WebhookProvider(
        load_key(at(delivery.key_file)),
        trusted(at(hooks.ca_file) if hooks.ca_file else None),
        allow_private=hooks.allow_private,
        private_allowed=hooks.private_allowed,
    )
    apprise = AppriseProvider(calls.threads_max, meters, allow_private=calls.allow_private)
    found = {
        MethodKind.INBOX: Means(InboxProvider(at(inbox_file(region))), Terms(at_once=1, at_once_per_target=1)),
        MethodKind.WEBHOOK: Means(webhook, Terms(per_s=hooks.per_s, call_s_max=CALL_S_MAX, target_of=_host)),
        MethodKind.APPRISE: Means(
            apprise,
            Terms(
                at_once=calls.threads_max,
                at_once_per_target=1,
                per_s=calls.per_s,
                call_s_max=CALL_S_MAX,
                target_of=lambda method: target_name(method.address),
            ),
        ),
    }
    if delivery.smtp is not None:
        found[MethodKind.EMAIL] = _mail(delivery.smtp, at)
    return {kind.value: one for kind, one in found.items()}


def inbox_file(region: Region) -> Path:
    """Where a region's inbox is, relative to the data directory."""
    return Path("inbox") / f"{region.name}.jsonl"


def trusted(ca_file: Path | None) -> ssl.SSLContext:
    """The system's authorities, and those of a file; raises `Misconfigured`."""
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise Misconfigured(f"{ca_file} holds no certificates that can be used: {error}") from error
    return context


def _mail(server: Smtp, at: Callable[[Path], Path]) -> Means:
    provider = SmtpProvider(
        server,
        trusted(at(server.ca_file) if server.ca_file else None),
        _password(at(server.login.password_file)) if server.login else None,
    )
    connections = server.connections_max
    terms = Terms(at_once=connections, at_once_per_target=connections, per_s=server.per_s, call_s_max=CALL_S_MAX)
    return Means(provider, terms)


def _password(file: Path) -> str:
    try:
        password = file.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"the file of the mail server's password cannot be read: {file}: {error}") from error
    if not password:
        raise Misconfigured(f"the file of the mail server's password is empty: {file}")
    return password


def _host(method: Method) -> str:
    try:
        return urlsplit(method.address).netloc.rpartition("@")[2].lower()
    except ValueError:  # no URL at all: its provider says so
        return ""
