"""What a broker sends of one partition: batches of records, decoded as they are taken.

Offsets may have gaps, where compaction took records and where a transaction ended. They are passed: what is taken ends
where its last batch ends, whatever is left of that batch.

The names of headers should be text, and nothing but the good manners of clients holds them to it. One record whose are
not would stop its partition for ever, so its batch is decoded once more, by hand, as Kafka's own Java client does it:
what is no text is replaced. The format is https://kafka.apache.org/documentation/#recordbatch.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from aiokafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode
from aiokafka.errors import KafkaError, UnsupportedCodecError
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint

from tocsin.core.requests import Record
from tocsin.engines.errors import EngineError, Misconfigured, Unavailable
from tocsin.engines.log import Delivered, Fetched

_LENGTH: Final = slice(8, 12)  # of a batch: how much follows after it
_RECORDS: Final = 61  # where the records of a batch begin
_Sized = tuple[Delivered, int]
Headers = Iterable[tuple[str, bytes | None]]


class Answer:
    """One answer. `position` is where the next fetch goes on; `ended` once all was taken."""

    def __init__(self, raw: bytes, offset: int, log_start: int, log_end: int) -> None:
        self.position = offset
        self.ended = False
        self._log_start = log_start
        self._log_end = log_end
        self._asked = offset
        self._records = self._walk(raw)
        self._next: _Sized | None = None

    def take(self, records_max: int, bytes_max: int) -> Fetched:
        """The next message set: at least one record whatever its size, when there is one.

        Raises `Unavailable` for a damaged batch, `Misconfigured` for one that cannot be decompressed, once all that is
        before it was taken.
        """
        taken: list[Delivered] = []
        size = 0
        try:
            while (found := self._next or next(self._records, None)) is not None:
                self._next = found
                size += found[1]
                if len(taken) == records_max or (taken and size > bytes_max):
                    break
                self._next = None
                taken.append(found[0])
                self.position = found[0].offset + 1
        except EngineError:
            if not taken:
                raise
        self.ended = self._next is None
        return Fetched(tuple(taken), self.position, self._log_start, max(self._log_end, self.position))

    def _walk(self, raw: bytes) -> Iterator[_Sized]:
        for piece in _pieces(raw):
            batch = MemoryRecords(piece).next_batch()
            if not batch.validate_crc():
                raise Unavailable(f"the batch at offset {batch.base_offset} is damaged: its checksum differs")
            if not batch.is_control_batch:
                try:
                    yield from self._decode(batch)
                except UnicodeDecodeError:
                    yield from self._decode(_ByHand(piece, batch))
                except UnsupportedCodecError as error:
                    raise Misconfigured(
                        f"the batch at offset {batch.base_offset} is compressed in a way that this installation cannot "
                        f"read ({error}): pip install cramjam, or set compression.type=uncompressed of its topic"
                    ) from error
                except KafkaError as error:
                    raise Unavailable(f"the batch at offset {batch.base_offset} is damaged: {error}") from error
            self.position = max(self.position, batch.next_offset)

    def _decode(self, batch: Iterable[Any]) -> Iterator[_Sized]:
        for found in batch:
            if found.offset >= max(self._asked, self.position):
                key, value = found.key, found.value or b""
                headers = tuple((name, content or b"") for name, content in found.headers)
                size = len(key or b"") + len(value)
                for name, content in headers:
                    size += len(name) + len(content)
                yield Delivered(found.offset, Record(key, value, headers, found.timestamp)), size


def _pieces(raw: bytes) -> Iterator[bytes]:
    """The batches of an answer. A broker may cut the last one short, when it is not the first."""
    start = 0
    while start + _LENGTH.stop <= len(raw):
        end = start + _LENGTH.stop + int.from_bytes(raw[start + _LENGTH.start : start + _LENGTH.stop], "big")
        if end > len(raw):
            return
        yield raw[start:end]
        start = end


class _Found(NamedTuple):
    """A record, with the names that aiokafka's have."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


_DECOMPRESS: Final[dict[int, Callable[[bytes], bytes]]] = {
    0: bytes,
    1: gzip_decode,
    2: snappy_decode,
    3: lz4_decode,
    4: zstd_decode,
}


class _ByHand:
    """The records of a batch, whatever the names of their headers are."""

    def __init__(self, piece: bytes, batch: Any) -> None:
        self._batch = batch
        self._raw = bytearray(_DECOMPRESS[batch.compression_type](piece[_RECORDS:]))
        self._at = 0

    def __iter__(self) -> Iterator[_Found]:
        while self._at < len(self._raw):
            self._number()  # the record's length
            self._at += 1  # its attributes, of which there are none yet
            timestamp = self._batch.first_timestamp + self._number()
            offset = self._batch.base_offset + self._number()
            key, value = self._content(), self._content()
            headers = [(self._name(), self._content()) for _ in range(self._number())]
            if self._batch.timestamp_type:
                timestamp = self._batch.max_timestamp
            yield _Found(offset, timestamp, key, value, headers)

    def _number(self) -> int:
        number, self._at = decode_varint(self._raw, self._at)
        return int(number)

    def _content(self) -> bytes | None:
        length = self._number()
        if length < 0:
            return None
        self._at += length
        return bytes(self._raw[self._at - length : self._at])

    def _name(self) -> str:
        return (self._content() or b"").decode(errors="replace")
