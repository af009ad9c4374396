"""Stage two of a region, as its file describes it."""

import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from tocsin.core.paging.people import Method, MethodKind
from tocsin.engines.errors import Misconfigured
from tocsin.roles.delivery import plain
from tocsin.roles.delivery.carrier import Terms
from tocsin.roles.delivery.deliveries import Deliveries, Means
from tocsin.roles.delivery.inbox import InboxProvider
from tocsin.roles.delivery.signing import load_key
from tocsin.roles.delivery.webhook import WebhookProvider
from tocsin.telemetry import Meters
from tocsin.topology import Region


def open_deliveries(region: Region, at: Callable[[Path], Path], meters: Meters) -> Deliveries:
    """The region's stage two; `at` tells where a path of the file is. Raises `Misconfigured`."""
    limits = region.paging
    return Deliveries(
        means(region, at), plain.render, meters, end_s_max=limits.end_s_max, queue_max=region.delivery.queue_max
    )


def means(region: Region, at: Callable[[Path], Path]) -> dict[str, Means]:
    """The region's providers, by the kind of method that they carry."""
    webhooks = region.delivery.webhooks
    webhook = WebhookProvider(
        load_key(at(region.delivery.key_file)),
        trusted(at(webhooks.ca_file) if webhooks.ca_file else None),
        allow_private=webhooks.allow_private,
    )
    return {
        MethodKind.INBOX: Means(InboxProvider(at(inbox_file(region))), Terms(at_once=1)),
        MethodKind.WEBHOOK: Means(webhook, Terms(target_of=_host)),
    }


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


def _host(method: Method) -> str:
    return urlsplit(method.address).netloc.rpartition("@")[2].lower()
