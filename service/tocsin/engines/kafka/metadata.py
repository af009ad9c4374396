"""The metadata of a cluster, with the ids of its topics: version 10 of Kafka's Metadata request (Kafka 2.8, KIP-516).

aiokafka's own tables end at version 5, which knows topics by name only. A topic that was deleted and made anew has its
old name and another id: the id is the incarnation of a topic.
"""
# ruff: noqa: D102 - encode, decode and build are what aiokafka calls

import io
import uuid
from typing import Any, NamedTuple

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)


class Uuid(AbstractType):  # type: ignore[misc]
    """16 bytes, as Kafka writes an id."""

    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: io.BytesIO) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(16))


_TEXT = CompactString("utf-8")
_TAGS = ("tags", TaggedFields)
_NO_ID = uuid.UUID(int=0)  # asks by name


class MetadataResponseV10(Response):  # type: ignore[misc]
    """The answer as the brokers send it; see `Metadata`."""

    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT), _TAGS),
        ),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", _TEXT),
                ("topic_id", Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition_index", Int32),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("replica_nodes", CompactArray(Int32)),
                        ("isr_nodes", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        _TAGS,
                    ),
                ),
                ("topic_authorized_operations", Int32),
                _TAGS,
            ),
        ),
        ("cluster_authorized_operations", Int32),
        _TAGS,
    )


class MetadataRequestV10(RequestStruct):  # type: ignore[misc]
    """What is asked; see `MetadataRequest`."""

    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = MetadataResponseV10
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", Uuid), ("name", _TEXT), _TAGS)),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        _TAGS,
    )


class MetadataRequest(Request[MetadataRequestV10]):  # type: ignore[misc]
    """Asks for the brokers, and for these topics alone; makes none."""

    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[MetadataRequestV10]) -> MetadataRequestV10:
        topics: list[tuple[uuid.UUID, str, dict[int, bytes]]] = [(_NO_ID, name, {}) for name in self._topics]
        return request_struct_class(topics, False, False, False, {})  # noqa: FBT003 - fields of the wire, by place


class TopicMetadata(NamedTuple):
    """A topic as the cluster has it: its id, and the node that leads each partition (below 0: none does now)."""

    incarnation: str
    leaders: dict[int, int]


class Metadata(NamedTuple):
    """What a broker says of the cluster and of the topics that were asked for; `errors` has codes by topic."""

    cluster: str
    controller: int
    brokers: dict[int, tuple[str, int]]
    topics: dict[str, TopicMetadata]
    errors: dict[str, int]

    @classmethod
    def of(cls, response: Any) -> "Metadata":
        """The metadata of a `MetadataResponseV10`."""
        topics = {
            name: TopicMetadata(topic_id.hex, {index: leader for _, index, leader, *_ in partitions})
            for code, name, topic_id, _, partitions, _, _ in response.topics
            if code == 0
        }
        return cls(
            response.cluster_id,
            response.controller_id,
            {node: (host, port) for node, host, port, _, _ in response.brokers},
            topics,
            {name: code for code, name, *_ in response.topics if code},
        )
