"""PagerDuty's REST API v2, as the querier speaks it: incidents, log entries, services, users, and what people do."""
