"""PagerDuty's client for Python, and the one before it, pointed at a region."""

from typing import Any

import pagerduty
import pdpyras  # type: ignore[import-untyped] # says nothing of its types

from tests.acceptance.clients.regions import Regions

SERVICES = {"pagerduty": "demo", "pdpyras": "checkout"}
"""Of each client the service that it sends for."""
PERSON = "eve@example.net"
"""Who acts through the REST API."""


def pagerduty_events(regions: Regions, region: str) -> Any:
    key = regions.routing_key(SERVICES["pagerduty"])
    return pagerduty.EventsApiV2Client(key, base_url=regions.intake(region), verify=regions.tls)


def pagerduty_reads(regions: Regions, region: str) -> Any:
    url = regions.querier(region)
    return pagerduty.RestApiV2Client(regions.token, default_from=PERSON, base_url=url, verify=regions.tls)


def pdpyras_events(regions: Regions, region: str) -> Any:
    return pointed(pdpyras.EventsAPISession(regions.routing_key(SERVICES["pdpyras"])), regions, regions.intake(region))


def pdpyras_reads(regions: Regions, region: str) -> Any:
    return pointed(pdpyras.APISession(regions.token, default_from=PERSON), regions, regions.querier(region))


def pointed(session: Any, regions: Regions, url: str) -> Any:
    session.url = url
    session.verify = regions.ca_file
    session.trust_env = False  # to requests, a CA_BUNDLE variable of this machine would count for more than `verify`
    return session


EVENTS = {"pagerduty": pagerduty_events, "pdpyras": pdpyras_events}
READS = {"pagerduty": pagerduty_reads, "pdpyras": pdpyras_reads}
