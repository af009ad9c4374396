"""Histories: what clients asked, what they were told and what was read afterwards; and whether that can be right.

Theory
------
After Jepsen's set-full and queue checkers. Requests are elements that are added and never change. A history is written
by the clients, outside of what is tested, and judged afterwards without a look at the implementation. An operation is
*invoked* and then ends: `ok`, it was done; `fail`, it was certainly not; `info`, nobody knows (a time-out, a 503, a
broken connection). What never ended counts as `info` too. What is indeterminate may have been recorded or not: both are
right, so it can never be lost; once it was read anywhere it must be everywhere, like any other.

The verdict is valid, invalid or unknown. An anomaly makes it invalid. What keeps the question open (a region without a
final read, something acknowledged after it, something undecided in all regions) makes it unknown, never valid.

| anomaly | what was seen |
|---|---|
| lost | acknowledged, or read in this region before, and gone: its final read has no trace of it |
| skipped | another region has it, and this region's final read has no trace of it |
| diverged | regions ended with different outcomes (stored, quarantined, ...), or with different rows |
| rewritten | a row is not what its key says, or changed in a way other than to an earlier arrival |
| late | a read that claimed to be complete up to a time lacks what was accepted before it; a later read has it |

What retention took unread is lost or skipped here, even where a region names it: the judge asks what clients were told,
and knows no excuse. What became a case somewhere (`core/cases.py`) is never late there: its kept row tells of it.

The file, format 1
------------------
JSON lines, in the order in which things happened; times are Unix microseconds by the recorder's clock. The first line
is `{"type":"history","format":1,"regions":[...],"about":"..."}`. Then, by `type`:

| type | members |
|---|---|
| invoke | `op` (a new number), `at_us`, `process`, `region`, `call` (send, get, scan); get: `request`; scan: `final` |
| part | `op`, then a part of what a scan found: `entries`, `kept`, `dropped` |
| ok | `op`, `at_us`; send: `request`; get: `found`, `pending`; both reads: `complete_until_us` or null, `drained` |
| fail, info | `op`, `at_us`, `reason` |

`request` is the printed request key. An entry is `[request, body, received_us, region, schema, action]`, with the
digest of the body as it was read, 12 hex digits like the key's. `drained` has the regions that a read's completeness
does not speak for. `kept` has `[request, stage]`, `dropped` requests.
A `get` claims that something is absent when it is neither found nor pending. A final scan was made after a quiet time:
everything must be there.

Use
---
    with Recorder.open(path, regions=("a", "b"), about="kill the leader") as recorder:
        op = recorder.invoke(Call.SEND, "client-1", "a")
        recorder.ok(op, request=key.printed)          # or recorder.fail(op, why), recorder.info(op, why)
        await get(recorder, "reader-a", client, Querier("a", url, token), key.printed)
        await scan(recorder, "auditor", "a", store, partitions=8, regions=topology.names, final=True)
    report = check_file(path)
    assert report.verdict is Verdict.VALID, report.describe()
"""

from tocsin.ops.history.checker import Checker, check_file
from tocsin.ops.history.format import BrokenHistory, Call
from tocsin.ops.history.reads import Querier, get, scan
from tocsin.ops.history.recorder import Recorder
from tocsin.ops.history.report import Anomaly, Kind, Report, Verdict

__all__ = [
    "Anomaly",
    "BrokenHistory",
    "Call",
    "Checker",
    "Kind",
    "Querier",
    "Recorder",
    "Report",
    "Verdict",
    "check_file",
    "get",
    "scan",
]
