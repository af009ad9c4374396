"""Alerts: one catalogue says what is promised, what wakes somebody, and what is drawn; all else is generated from it.

Rules, their tests, dashboards and the index of runbooks drift apart when people keep them in step by hand. Here
`deploy/alerts/catalogue.yaml` alone is written by people. It names metrics as the code does (`tocsin.telemetry`), never
in a query language: a metric that was renamed makes it unreadable rather than an alert silent, and whoever watches with
something else than Prometheus reads the same fields.

| module | what |
|---|---|
| `catalogue` | the model, and reading it: every fault named by its field |
| `promql` | a query of the catalogue as an expression of Prometheus |
| `burn` | service levels as recording rules and burn-rate alerts |
| `rules` | the file of rules |
| `proofs` | promtool's unit tests: each alert fires on what it is about, and not before |
| `dashboards` | a dashboard a reader, for Grafana |
| `index` | the index of runbooks, by symptom |
| `files` | all of these, written and compared |

`make alerts` writes the files anew; a test says when they are stale.
"""
