"""Alertmanager's webhook, version 4: a group of alerts, sent anew whenever the group changes or a while has passed.

The group is the incident. Its dedup key is the SHA-256 of the group key, which is what Alertmanager's own PagerDuty
receiver sends, so both receivers of one route mean the same incident, and what is sent again adds to it. While one
alert of a group is firing, the group is. The routing key is in the path: a webhook's body has no room for it.

Alertmanager bounds neither the alerts of a group nor the size of a body unless `max_alerts` is set, and does not send
again what was answered 413. So a body may be larger than other events', and of its alerts the first are kept, as many
as find room; how many were left out is kept too, beside Alertmanager's own `truncatedAlerts`.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from tocsin.core.events import (
    ROUTING_KEY_LENGTH,
    SEVERITIES,
    SUMMARY_LENGTH_MAX,
    InvalidEvent,
    TooLarge,
    checked,
    checked_event,
)
from tocsin.core.json_rules import Array, Choice, Kinds, Member, Object, Text, at, check_members, is_absent

SMALLER: Final = "set 'max_alerts' of the webhook receiver"
"""What to do about a body that is too large."""
BODY_BYTES_MAX: Final = 2_097_152
ALERTS_BYTES_MAX: Final = 400_000
"""Of the alerts that are kept: with the rest they fit in an event that Alertmanager itself would send."""
ACTIONS: Final = {"firing": "trigger", "resolved": "resolve"}
SEVERITY: Final = "error"
"""Of a group whose alerts do not say theirs, or in a word that is not below; Alertmanager's own default."""
WORDS: Final = {
    "critical": ("critical", "crit", "fatal", "emergency", "disaster", "page", "p1"),
    "error": ("error", "err", "major", "high", "p2"),
    "warning": ("warning", "warn", "minor", "medium", "p3"),
    "info": ("info", "information", "informational", "notice", "low", "none", "debug", "p4", "p5"),
}
"""Severities, and the values of the label `severity` that mean them."""
SOURCES: Final = ("instance", "cluster", "job")
"""The common labels of which the first that is there tells where the trouble is."""
_SEVERITY_OF: Final = {word: severity for severity, words in WORDS.items() for word in words}
_TEXT: Final = Text()


class _Labels(NamedTuple):
    """An object of strings."""

    def check(self, value: Any, name: str, errors: list[str]) -> None:
        """Adds what is wrong with the value."""
        Object(()).check(value, name, errors)
        if type(value) is dict:
            for label, inner in value.items():
                _TEXT.check(inner, at(name, label), errors)


_LABELS: Final = _Labels()
_ALERT: Final = Object(
    (
        Member("status", Choice(tuple(ACTIONS)), required=True),
        Member("labels", _LABELS),
        Member("annotations", _LABELS),
    )
)
MEMBERS: Final = (
    Member("groupKey", _TEXT, required=True),
    Member("status", Choice(tuple(ACTIONS)), required=True),
    Member("truncatedAlerts", Kinds("a number", (int,))),
    Member("receiver", _TEXT),
    Member("groupLabels", _LABELS),
    Member("commonLabels", _LABELS),
    Member("commonAnnotations", _LABELS),
    Member("externalURL", _TEXT),
    Member("alerts", Array(_ALERT), required=True),
)
_ROUTING_KEY: Final = (Member("routing_key", Text(length=ROUTING_KEY_LENGTH), required=True),)


def parse_alertmanager_event(body: bytes, routing_key: str) -> dict[str, Any]:
    """The event of a webhook's body. Raises `InvalidEvent` with all that is wrong with it, `TooLarge` by its size."""
    if len(body) > BODY_BYTES_MAX:
        raise TooLarge("the body", str(len(body)), BODY_BYTES_MAX, advice=SMALLER)
    errors: list[str] = []
    check_members({"routing_key": routing_key}, _ROUTING_KEY, "", errors)
    if errors:
        raise InvalidEvent("invalid event", "Event object is invalid", errors)
    group = checked(body, {}, MEMBERS)
    return checked_event({"routing_key": routing_key, **_translated(group)})


def _translated(group: dict[str, Any]) -> dict[str, Any]:
    common, annotations = group.get("commonLabels") or {}, group.get("commonAnnotations") or {}
    firing = [alert for alert in group["alerts"] if alert["status"] == "firing"]
    payload = {
        "summary": _summary(group, common, annotations, len(firing)),
        "source": _source(group, common),
        "severity": _severity(common, firing),
        "class": common.get("alertname"),
        "custom_details": _details(group, len(firing)),
    }
    event = {
        "event_action": ACTIONS[group["status"]],
        "dedup_key": hashlib.sha256(group["groupKey"].encode()).hexdigest(),
        "payload": _present(payload),
        "client": "Alertmanager",
        "client_url": group.get("externalURL"),
    }
    runbook = annotations.get("runbook_url")
    if not is_absent(runbook):
        event["links"] = [{"href": runbook, "text": "Runbook"}]
    return _present(event)


def _summary(group: dict[str, Any], common: dict[str, str], annotations: dict[str, str], firing: int) -> str:
    """`[FIRING:3] HighLatency eu: p99 is above a second`: the group's labels, then what its rule says."""
    more = "+" if group.get("truncatedAlerts") else ""
    status = f"[FIRING:{firing}{more}]" if group["status"] == "firing" else "[RESOLVED]"
    labels = group.get("groupLabels") or {}
    name = labels.get("alertname") or common.get("alertname")
    others = [value for label, value in sorted(labels.items()) if label != "alertname"]
    names = " ".join(filter(None, [name, *others])) or group["groupKey"]
    says = annotations.get("summary") or annotations.get("description")
    words = f"{status} {names}: {says}" if says else f"{status} {names}"
    return " ".join(words.split())[:SUMMARY_LENGTH_MAX]


def _source(group: dict[str, Any], common: dict[str, str]) -> str:
    found = [common.get(label) for label in SOURCES]
    sources = [*found, group.get("externalURL"), "Alertmanager"]
    return next(source for source in sources if source is not None and not is_absent(source))


def _severity(common: dict[str, str], firing: Iterable[dict[str, Any]]) -> str:
    """What all alerts of the group say, or the worst that one of those that are firing says."""
    labels = [common] if common.get("severity") else [alert.get("labels") or {} for alert in firing]
    words = [label.get("severity", "").lower() for label in labels]
    said = {_SEVERITY_OF.get(word, SEVERITY) for word in words if word}
    return min(said, key=SEVERITIES.index, default=SEVERITY)


def _details(group: dict[str, Any], firing: int) -> dict[str, Any]:
    kept = list(_fitting(group["alerts"]))
    return {
        **group,
        "alerts": kept,
        "alerts_left_out": len(group["alerts"]) - len(kept),
        "num_firing": firing,
        "num_resolved": len(group["alerts"]) - firing,
    }


def _fitting(alerts: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    room = ALERTS_BYTES_MAX
    for alert in alerts:
        room -= len(msgspec.json.encode(alert)) + 1
        if room < 0:
            return
        yield alert


def _present(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if not is_absent(value)}
