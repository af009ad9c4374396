"""Whether an address is what its kind takes, and what of it is shown."""

import logging

import pytest

from tocsin.core.paging.people import Method, MethodKind
from tocsin.engines.addresses import ADDRESS_LENGTH_MAX, fault_of, shown

GOOD = [
    (MethodKind.EMAIL, "ann@example.org"),
    (MethodKind.EMAIL, "ann+pages@sub.example.org"),
    (MethodKind.WEBHOOK, "https://hooks.example.org/T0KEN?a=b"),
    (MethodKind.WEBHOOK, "https://hooks.example.org:8443"),
    (MethodKind.APPRISE, "discord://1234/T0KEN"),
    (MethodKind.APPRISE, "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/"),
    (MethodKind.INBOX, ""),
    (MethodKind.INBOX, "ann"),
]
BAD = [
    (MethodKind.EMAIL, ""),
    (MethodKind.EMAIL, "ann"),
    (MethodKind.EMAIL, "ann@example.org, bob@example.org"),
    (MethodKind.EMAIL, "Ann <ann@example.org>"),
    (MethodKind.EMAIL, "ann@example.org\nBcc: all@example.org"),
    (MethodKind.EMAIL, "a" * 250 + "@x.org"),
    (MethodKind.WEBHOOK, ""),
    (MethodKind.WEBHOOK, "hooks.example.org"),
    (MethodKind.WEBHOOK, "http://hooks.example.org"),
    (MethodKind.WEBHOOK, "https://"),
    (MethodKind.WEBHOOK, "https://user:secret@hooks.example.org"),
    (MethodKind.WEBHOOK, "https://hooks.example.org/#part"),
    (MethodKind.WEBHOOK, "https://hooks.example.org:99999/"),
    (MethodKind.WEBHOOK, "https://[::1"),
    (MethodKind.WEBHOOK, "https://hooks.example.org/" + "x" * ADDRESS_LENGTH_MAX),
    (MethodKind.WEBHOOK, "https://hooks.example.org/…"),
    (MethodKind.APPRISE, ""),
    (MethodKind.APPRISE, "discord"),
    (MethodKind.APPRISE, "nobodys://x"),
    (MethodKind.APPRISE, "discord://"),
    (MethodKind.APPRISE, "discord://only-one-part"),
    (MethodKind.APPRISE, "JSON://169.254.169.254/"),
    (MethodKind.APPRISE, "syslog://"),
    (MethodKind.APPRISE, "dbus://x"),
    (MethodKind.APPRISE, "file:///etc/passwd"),
    (MethodKind.INBOX, "\x1b[31m"),
]


@pytest.mark.parametrize(("kind", "address"), GOOD)
def test_an_address_of_its_kind_is_taken(kind: MethodKind, address: str) -> None:
    assert fault_of(kind, address) is None


@pytest.mark.parametrize(("kind", "address"), BAD)
def test_any_other_is_refused_with_what_it_must_be_and_without_itself(
    kind: MethodKind, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fault = fault_of(kind, address)

    assert fault is not None
    assert fault.startswith("must ")
    assert "secret" not in fault + caplog.text
    assert "only-one-part" not in fault + caplog.text


@pytest.mark.parametrize(
    ("kind", "address", "text"),
    [
        ("email", "ann@example.org", "ann@example.org"),
        ("inbox", "ann", "ann"),
        ("webhook", "https://u:p@hooks.example.org:8443/T0KEN", "https://hooks.example.org:8443/…"),
        ("webhook", "https://hooks.example.org?T0KEN", "https://hooks.example.org/…"),
        ("apprise", "discord://1234/T0KEN", "discord://…"),
        ("pigeon", "what a later version wrote", "…"),
    ],
)
def test_what_can_be_a_secret_is_not_shown(kind: str, address: str, text: str) -> None:
    assert shown(Method("m", kind, address)) == text
