"""Whether the address of a contact method is what its kind takes.

Nothing is looked up: that it is *reached* is shown by a page that arrives (`tocsin notify test`).
"""

import logging
import re
from typing import Final
from urllib.parse import urlsplit

from tocsin.core.paging.people import Method, MethodKind

EMAIL: Final = r"^[^\s@]+@[^\s@]+$"
ADDRESS_LENGTH_MAX: Final = 2_048
EMAIL_LENGTH_MAX: Final = 254
HIDDEN: Final = "…"
"""Stands for what an address hides when it is shown."""
_EMAIL: Final = re.compile(EMAIL)
OF_WEBHOOKS: Final = frozenset({"json", "jsons", "xml", "xmls", "form", "forms"})
"""Apprise's own webhooks: ours are signed, and guarded against being turned upon our own network."""
OF_THIS_MACHINE: Final = frozenset({"dbus", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows"})
"""What apprise shows where it runs: no person is reached by that."""
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*\Z")


def fault_of(kind: MethodKind, address: str) -> str | None:
    """What is wrong with an address of this kind; None when nothing is."""
    if not address.isprintable() or address != address.strip() or HIDDEN in address:
        return "must be one line of printable characters, whole, without spaces at its ends"
    if len(address) > ADDRESS_LENGTH_MAX:
        return f"must have at most {ADDRESS_LENGTH_MAX} characters"
    match kind:
        case MethodKind.EMAIL:
            is_good = (
                bool(_EMAIL.match(address)) and len(address) <= EMAIL_LENGTH_MAX and not set(address) & set(",;<>")
            )
            return None if is_good else "must be a mail address: somebody@example.org, without a name beside it"
        case MethodKind.WEBHOOK:
            return _fault_of_url(address)
        case MethodKind.APPRISE:
            return _fault_of_apprise(address)
        case MethodKind.INBOX:
            return None


def shown(method: Method) -> str:
    """The address as people may see it: of a URL, where the secret is in the path, no more than scheme and host."""
    if method.kind in (MethodKind.EMAIL, MethodKind.INBOX):
        return method.address
    scheme, found, rest = method.address.partition("://")
    if not found:
        return HIDDEN
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    # What follows the scheme of an apprise URL is often a token, and not a host.
    return f"{scheme}://{host}/{HIDDEN}" if method.kind == MethodKind.WEBHOOK else f"{scheme}://{HIDDEN}"


def _fault_of_url(address: str) -> str | None:
    try:
        url = urlsplit(address)
        is_whole = url.scheme == "https" and bool(url.hostname) and url.port != 0
    except ValueError as error:
        return f"must be an https URL: {error}"
    if not is_whole:
        return "must be an https URL with a host: https://hooks.example.org/page"
    if url.username or url.password or url.fragment:
        return "must be an https URL without a user, a password or a fragment: calls are signed instead"
    return None


def _fault_of_apprise(address: str) -> str | None:
    from apprise import Apprise  # noqa: PLC0415 - loads its hundred plug-ins: only for those who have such a method

    scheme, found, rest = address.partition("://")
    scheme = scheme.lower()
    if not found or not _SCHEME.match(scheme) or not rest:
        return "must be an apprise URL: scheme://…"
    if scheme in OF_WEBHOOKS:
        return f"must be an apprise URL of a service: for {scheme}://, use the kind webhook"
    if scheme in OF_THIS_MACHINE:
        return f"must be an apprise URL of a service: {scheme}:// reaches nobody but this machine"
    logging.getLogger("apprise").disabled = True  # its lines can have the address in them, token and all
    if Apprise.instantiate(address, suppress_exceptions=True) is None:
        return f"must be an apprise URL: apprise knows no {scheme}:// of this form"
    return None
