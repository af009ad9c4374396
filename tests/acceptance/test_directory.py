"""A directory file that is applied in one region counts in the other, while everything runs."""

import json
import re
import ssl
import subprocess
from pathlib import Path

import httpx2
import pytest

from tests.acceptance.conftest import REPOSITORY, tocsin, until, until_ready

MIRRORED_S_MAX = 15.0
KEY = "0123456789abcdef0123456789abcdef"


def test_a_routing_key_that_is_applied_in_one_region_is_taken_by_the_other(
    up: subprocess.Popen[str], env: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", logger="httpx2")
    until_ready(up, env, tmp_path)
    published = json.loads(Path(env["TOCSIN_UP_FILE"]).read_bytes())
    regions = {region["name"]: region for region in published["regions"]}
    page = (REPOSITORY / "docs" / "directory.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "applied.yaml"
    file.write_text(example, encoding="utf-8")
    event = {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": "card/declined",
        "payload": {"summary": "cards are declined", "source": "test", "severity": "critical"},
    }
    with httpx2.Client(
        headers={"Authorization": f"Token token={published['token']}"},
        timeout=10,
        verify=ssl.create_default_context(cafile=regions["b"]["ca_file"]),
    ) as http:

        def send() -> int:
            return http.post(f"{regions['b']['intake_url']}/v2/enqueue", json=event).status_code

        assert send() == 400  # nobody has the key

        done = json.loads(tocsin(env, "directory", "apply", str(file), "--region", "a", "--yes", "--json"))
        assert done["faults"] == []
        assert {one["verb"] for one in done["changes"]} == {"added"}

        until("region b's intake takes the new key", lambda: send() == 202, MIRRORED_S_MAX)

        # A change through b's REST interface is read in a.
        querier = regions["b"]["query_url"]
        until("b's querier knows bob", lambda: http.get(f"{querier}/users/bob").status_code == 200, MIRRORED_S_MAX)
        method = {"contact_method": {"type": "email_contact_method", "address": "bob@home.example.org"}}
        answer = http.post(f"{querier}/users/bob/contact_methods", json=method)
        assert answer.status_code == 201, answer.text

        def methods_in_a() -> bool:
            found = http.get(f"{regions['a']['query_url']}/users/bob/contact_methods").json()
            return "bob@home.example.org" in [one["address"] for one in found.get("contact_methods", [])]

        until("region a has the method", methods_in_a, MIRRORED_S_MAX)
    rows = json.loads(tocsin(env, "directory", "ls", "--region", "b", "--kind", "user", "--json"))
    assert {row["id"]: row["region"] for row in rows} == {"ann": "a", "bob": "b", "on-call": ""}
