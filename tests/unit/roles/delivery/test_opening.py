"""Stage two as a region file describes it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.roles.delivery.bundles import bundle
from tocsin.core.paging.people import Method, MethodKind
from tocsin.engines.errors import Misconfigured
from tocsin.roles.delivery.opening import means, wording
from tocsin.telemetry import Identity, Meters
from tocsin.topology import Region, load_topology

ROOT = Path(__file__).parents[4]
LOCAL = ROOT / "regions" / "local"
SMTP = {"server": "mail.example.org:587", "sender": "tocsin@example.org"}
LOGIN = {"login": {"by": "password", "username": "tocsin", "password_file": "smtp.password"}}


def region(**delivery: Any) -> Region:
    return load_topology(LOCAL, {"delivery": delivery}).region("a")


def kinds(of: Region, folder: Path) -> set[str]:
    return set(means(of, lambda path: folder / path, Meters(Identity("a", "blue", "notifier"))))


def test_there_is_a_provider_for_mail_where_a_server_is_named(tmp_path: Path) -> None:
    (tmp_path / "smtp.password").write_text("s3cret\n", encoding="utf-8")
    assert kinds(region(), tmp_path) == {"apprise", "inbox", "webhook"}
    assert kinds(region(smtp={**SMTP, **LOGIN}), tmp_path) == set(MethodKind)


def test_the_mail_server_of_the_documentation_is_one(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "delivery.md").read_text(encoding="utf-8")
    [example] = re.findall("```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "smtp.password").write_text("s3cret\n", encoding="utf-8")
    assert "email" in kinds(region(**yaml.safe_load(example)["delivery"]), tmp_path)


@pytest.mark.parametrize(
    ("delivery", "told"),
    [
        ({"smtp": {**SMTP, **LOGIN}}, "password cannot be read: .*smtp.password"),
        ({"smtp": {**SMTP, "login": {**LOGIN["login"], "password_file": "empty"}}}, "password is empty: .*empty"),
        ({"smtp": {**SMTP, "ca_file": "empty"}}, "empty holds no certificates"),
        ({"webhooks": {"ca_file": "nowhere.pem"}}, "nowhere.pem holds no certificates"),
        ({"key_file": "empty"}, "empty holds 0 bytes"),
        ({"key_file": "no/such/folder.key"}, "folder.key, the key that signs webhooks, cannot be used"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, delivery: dict[str, Any], told: str) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(Misconfigured, match=told):
        kinds(region(**delivery), tmp_path)


def test_templates_of_ones_own_are_used_and_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="texts, the templates_dir of region a, is no folder"):
        wording(region(templates_dir="texts"), lambda path: tmp_path / path)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "subject.j2").write_text("Hello", encoding="utf-8")
    found = wording(region(templates_dir="texts"), lambda path: tmp_path / path)
    assert found.render(bundle()).subject == "Hello"


def test_addresses_that_are_none_have_a_target_all_the_same(tmp_path: Path) -> None:
    found = means(region(), lambda path: tmp_path / path, Meters(Identity("a", "blue", "notifier")))
    for address in ("", "https://[::1", "\ud800", "x" * 10_000):
        for kind, one in found.items():
            assert isinstance(one.terms.target_of(Method("m", kind, address)), str)
    target_of = found["webhook"].terms.target_of
    assert target_of(Method("m", "webhook", "https://u:p@Hooks.example.org:8443/T0KEN")) == "hooks.example.org:8443"
