"""What Hypothesis draws for the core: names, keys, requests."""

from hypothesis import strategies as st

from tocsin.core.ids import DIGEST_BYTES, Parent, RequestKey
from tocsin.core.requests import SCHEMA, TIME_US_MAX, Request

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
IDS = st.integers(0, 2**64 - 1)
TIMES = st.integers(0, TIME_US_MAX - 1)
REGIONS = st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True)
PARENTS = st.builds(Parent, WORDS.filter(bool), WORDS)
KEYS = st.builds(RequestKey, PARENTS, IDS, st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES))
REQUESTS = st.builds(Request, KEYS, TIMES, REGIONS, st.just(SCHEMA), st.binary())
