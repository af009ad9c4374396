"""The index of runbooks, `runbooks/README.md`: by what is seen, for whoever has no alert's name to look for."""

from collections.abc import Iterator

from tocsin.ops.alerts.catalogue import Alert, Catalogue, Severity

HEAD = """# Runbooks

Paged, and never seen Tocsin? Open the runbook of the alert's name and start at its top; it needs no more knowledge than
this: Tocsin takes alerts from machines and pages people. It runs in two or more *regions* at once; each has everything
and can do all the work alone. **What was accepted is written down, so nothing is lost by waiting a minute to think.**

No alert, only a feeling? Ask Tocsin first, then look for what you see below.

```console
$ tocsin status
```

Commands read unless a line says otherwise; what changes something asks first (a script says `--yes`), and prints how it
is undone. They are run where Tocsin is configured: on a machine of a region, or in the folder of the checkout as
`.venv/bin/tocsin`.
"""


def index_file(catalogue: Catalogue) -> str:
    """The whole page."""
    return "\n".join([HEAD, *_symptoms(catalogue), "", *_names(catalogue), ""])


def _symptoms(catalogue: Catalogue) -> Iterator[str]:
    yield "## By what you see"
    yield ""
    yield "| what you see | runbook |"
    yield "| --- | --- |"
    found = [(symptom, alert) for alert in catalogue.alerts for symptom in alert.symptoms]
    for symptom, alert in sorted(found, key=lambda pair: pair[0].casefold()):
        yield f"| {symptom} | {_link(alert)} |"


def _names(catalogue: Catalogue) -> Iterator[str]:
    yield "## By the alert's name"
    for severity, heading in ((Severity.PAGE, "These wake somebody"), (Severity.TICKET, "These wait for the morning")):
        yield from ("", f"### {heading}", "", "| alert | what it means | owner |", "| --- | --- | --- |")
        for alert in sorted(catalogue.alerts, key=lambda alert: alert.name):
            if alert.severity is severity:
                yield f"| {_link(alert)} | {alert.meaning} | {alert.owner} |"


def _link(alert: Alert) -> str:
    return f"[{alert.name}]({alert.name}.md)"
