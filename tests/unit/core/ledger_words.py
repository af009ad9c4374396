"""Statements of a small universe for Hypothesis: so small that subjects, numbers and owners collide all the time."""

from hypothesis import strategies as st

from tocsin.core.failures import Kind
from tocsin.core.ids import Parent, RequestKey, digest
from tocsin.core.statements import (
    Beat,
    Opened,
    Payload,
    PersonWord,
    Promoted,
    RegionOrder,
    Replica,
    RequestOrder,
    Said,
    Standing,
    Statement,
    Unknown,
    Word,
)

KEYS = [RequestKey(Parent("checkout", "disk"), 1 << 32, digest(content)) for content in (b"one", b"two")]
REPLICAS = [Replica("a", "blue"), Replica("a", "green"), Replica("b", "blue")]

keys = st.sampled_from(KEYS)
replicas = st.sampled_from(REPLICAS)
regions = st.sampled_from(["a", "b"])
small = st.integers(0, 2)
times = st.integers(0, 1)
texts = st.sampled_from(["", "x", "ü\0"])
beats = st.builds(Beat, small, small)

failed = st.builds(
    Said,
    keys,
    replicas,
    st.just(Word.FAILED),
    small,
    small,
    times,
    st.sampled_from(Kind),
    texts,
    st.booleans(),
)
stored = st.builds(Said, keys, replicas, st.just(Word.STORED), small, small, times)
request_orders = st.builds(
    RequestOrder,
    keys,
    small,
    st.sampled_from([PersonWord.DROPPED, PersonWord.REDRIVE]),
    texts,
    times,
    texts,
)
region_orders = st.builds(
    RegionOrder,
    regions,
    small,
    st.sampled_from([PersonWord.DRAINED, PersonWord.JOINED, PersonWord.REMOVED]),
    texts,
    times,
    texts,
)
standings = st.builds(
    Standing,
    replica=replicas,
    beat=beats,
    at_us=times,
    halted=st.booleans(),
    ill=st.booleans(),
    draining=st.booleans(),
    lag_s=st.sampled_from([0.0, 0.25]),
    schema=small,
    incarnation=small,
    heard=st.dictionaries(regions, beats, max_size=2),
)
known_statements: st.SearchStrategy[Statement] = st.one_of(
    failed,
    stored,
    st.builds(Payload, keys, st.sampled_from([b"", b"\xff\0", b"record"])),
    request_orders,
    region_orders,
    standings,
    st.builds(Opened, replicas, small, texts),
    st.builds(Promoted, regions, small, st.sampled_from(["blue", "green"])),
)
unknown_statements = st.builds(Unknown, st.sampled_from([b"k", b"l"]), st.sampled_from([b"{}", b"?", b"\xff"]))
any_statements = st.one_of(known_statements, unknown_statements)
