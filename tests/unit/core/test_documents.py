"""Documents: what one release writes, the next one and the one before can read."""

import msgspec
import pytest

from tests.documents_made import drained, status
from tocsin.core.documents import PartitionStatus, RegionWords, ServicesSeen


def test_what_is_written_is_read_as_it_was() -> None:
    written = PartitionStatus.decode(status(3, halted=["0x01.02: budget"], held=2).value)
    assert (written.name, written.partition, written.halted, written.held) == ("status/3", 3, ("0x01.02: budget",), 2)
    assert RegionWords.decode(drained("b", "c").value).drained == ("b", "c")
    seen = ServicesSeen(seen_us={"checkout": 1_700_000_000_000_000})
    assert ServicesSeen.decode(seen.encode()) == seen


def test_fields_of_a_newer_release_are_ignored() -> None:
    assert RegionWords.decode(b'{"drained": ["b"], "since": {"b": 1}}') == RegionWords(drained=("b",))


@pytest.mark.parametrize("raw", [b"", b"\xff", b"[]", b"{}", b'{"drained": "b"}', b'{"drained": [1]}'])
def test_what_is_no_document_is_refused(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        RegionWords.decode(raw)
