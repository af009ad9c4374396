"""Who is followed, and what hangs from what."""

from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind

from tests.requests_made import request
from tocsin.core.requests import H_TRACE, TRACE_LENGTH_MAX, decode_record, encode_request, trace_of
from tocsin.roles.followed import KEPT_MAX, Followed
from tocsin.telemetry import NOTHING_FOLLOWED, Traces
from tocsin.telemetry.traces import ASKED_PER_S_MAX, LINKS_MAX, context_of, failed, traceparent

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ASKED, NOT_ASKED = f"00-{TRACE}-00f067aa0ba902b7-01", f"00-{TRACE}-00f067aa0ba902b7-00"


class Seen:
    """A process's traces, and the spans that ended there."""

    def __init__(self, ratio: float = 0.0, drawn: float = 1.0) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(ALWAYS_ON, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.now_s = 0.0
        self.traces = Traces(provider.get_tracer("test"), ratio, random=lambda: drawn, monotonic=lambda: self.now_s)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def is_followed(self, given: str) -> bool:
        with self.traces.at_door("POST /", given) as span:
            return bool(traceparent(span))


def parent_of(span: ReadableSpan) -> str:
    return f"{span.parent.span_id:016x}" if span.parent else ""


# At the door ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "ratio", "drawn", "is_followed"),
    [
        (ASKED, 0.0, 1.0, True),
        (NOT_ASKED, 1.0, 0.0, False),
        ("", 0.0, 0.0, False),
        ("", 0.5, 0.4, True),
        ("", 0.5, 0.5, False),
        ("garbage", 0.0, 0.0, False),
        ("garbage", 0.5, 0.4, True),
    ],
)
def test_an_event_is_followed_when_its_sender_asks_or_by_lot(
    given: str,
    ratio: float,
    drawn: float,
    is_followed: bool,  # noqa: FBT001 (a column)
) -> None:
    assert Seen(ratio, drawn).is_followed(given) is is_followed


def test_what_is_followed_for_its_sender_hangs_from_the_sender_s_span() -> None:
    seen = Seen()
    assert seen.is_followed(ASKED)

    (span,) = seen.spans
    assert (parent_of(span), span.kind) == ("00f067aa0ba902b7", SpanKind.SERVER)
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == TRACE


def test_senders_that_ask_for_everything_get_so_much_a_second() -> None:
    seen = Seen()

    assert [seen.is_followed(ASKED) for _ in range(ASKED_PER_S_MAX + 1)] == [True] * ASKED_PER_S_MAX + [False]
    seen.now_s = 1.0
    assert seen.is_followed(ASKED)


def test_without_a_collector_nobody_is_followed() -> None:
    assert not traceparent(NOTHING_FOLLOWED.at_door("POST /", ASKED))
    assert not traceparent(NOTHING_FOLLOWED.begin("page", [ASKED]))


# From one to the next ------------------------------------------------------------------------------------------------


def test_a_context_is_the_same_after_the_way_as_text() -> None:
    with Seen().traces.at_door("POST /", ASKED) as span:
        text = traceparent(span)
        context = context_of(text)

    assert text.startswith(f"00-{TRACE}-")
    assert context is not None
    assert (context.trace_id, context.span_id) == (span.get_span_context().trace_id, span.get_span_context().span_id)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        ASKED.upper(),
        f"ff{ASKED[2:]}",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        ASKED + "x",
        "\x00" * 55,
    ],
)
def test_what_is_no_context_is_none(text: str) -> None:
    assert context_of(text) is None


def test_a_span_of_many_hangs_from_the_first_and_links_to_the_others() -> None:
    seen = Seen()
    others = [f"00-{number:032x}-{number:016x}-01" for number in range(1, LINKS_MAX + 9)]
    seen.traces.begin("page", [ASKED, ASKED, "garbage", NOT_ASKED, *others]).end()

    (span,) = seen.spans
    assert parent_of(span) == "00f067aa0ba902b7"
    assert [link.context.span_id for link in span.links] == list(range(1, LINKS_MAX + 1))


def test_a_span_of_what_nobody_follows_is_none() -> None:
    seen = Seen()
    span = seen.traces.begin("page", ["", NOT_ASKED])
    failed(span, "for nobody to see")
    seen.traces.below(span, "call", SpanKind.CLIENT).end()
    span.end()

    assert not seen.spans


# In the log ----------------------------------------------------------------------------------------------------------


def test_the_context_is_a_header_and_no_part_of_the_request() -> None:
    one = request()
    followed, plain = encode_request(one, ASKED), encode_request(one)

    assert trace_of(followed) == ASKED
    assert trace_of(plain) == ""
    assert decode_record(followed) == decode_record(plain) == one
    assert followed._replace(headers=followed.headers[:-1]) == plain


@pytest.mark.parametrize("value", [b"\xff\xfe", b"x" * (TRACE_LENGTH_MAX + 1)])
def test_a_context_that_cannot_be_read_hinders_nothing(value: bytes) -> None:
    one = request()
    plain = encode_request(one)
    record = plain._replace(headers=(*plain.headers, (H_TRACE, value)))

    assert (decode_record(record), trace_of(record)) == (one, "")


# In the creator ------------------------------------------------------------------------------------------------------


def test_a_set_has_one_span_and_only_where_one_of_it_is_followed() -> None:
    seen = Seen()
    followed = Followed(seen.traces)
    plain, first, second = (request(f"service/{number}") for number in range(3))
    other = ASKED.replace("b7-01", "b8-01")
    records = [encode_request(plain), encode_request(first, ASKED), encode_request(second, other)]
    followed.take(records, [plain, first, second])

    followed.begin([plain]).end()
    assert not seen.spans
    with followed.begin([plain, first, second]):
        while_written = followed.trace(first.key)
    followed.stored([plain, first, second])
    followed.begin([plain, first, second]).end()

    (span,) = seen.spans
    assert parent_of(span) == "00f067aa0ba902b7"
    assert [f"{link.context.span_id:016x}" for link in span.links] == ["00f067aa0ba902b8"]
    assert span.context is not None
    assert while_written == followed.trace(first.key) == f"00-{TRACE}-{span.context.span_id:016x}-01"
    assert (followed.trace(second.key), followed.trace(plain.key)) == (other, "")


def test_what_failed_is_followed_at_its_next_try() -> None:
    seen = Seen()
    followed = Followed(seen.traces)
    one = request()
    followed.take([encode_request(one, ASKED)], [one])
    for stored in ([], [one], []):
        followed.begin([one]).end()
        followed.stored(stored)

    assert len(seen.spans) == 2


def test_no_more_are_remembered_than_there_is_room_for() -> None:
    followed = Followed(Seen().traces)
    requests = [request(f"service/{number}") for number in range(KEPT_MAX + 1)]
    followed.take([encode_request(one, ASKED) for one in requests], requests)

    assert [followed.trace(one.key) for one in (requests[0], requests[-1])] == ["", ASKED]


def test_without_a_collector_nothing_is_remembered() -> None:
    followed = Followed(NOTHING_FOLLOWED)
    one = request()
    followed.take([encode_request(one, ASKED)], [one])

    assert followed.trace(one.key) == ""
