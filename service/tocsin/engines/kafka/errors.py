"""What Kafka's error codes mean to us: one literal table.

A code that passes by itself is tried again, after a new look at the metadata, and is `Unavailable` when time is up; so
is any code that this table does not have: nothing is known of the outcome, and it is never evidence against a record.
The codes and their names are Kafka's (https://kafka.apache.org/protocol#protocol_error_codes).
"""

from typing import Final, NamedTuple

from tocsin.engines.errors import EngineError, Misconfigured, OutOfRange, Refused, Unavailable

OFFSET_OUT_OF_RANGE: Final = 1
UNKNOWN_TOPIC_OR_PARTITION: Final = 3
MESSAGE_TOO_LARGE: Final = 10
TOPIC_ALREADY_EXISTS: Final = 36


class Meaning(NamedTuple):
    """Kafka's name of a code, the error that it becomes, and what it says to a person."""

    name: str
    error: type[EngineError]
    text: str
    lasts: bool = False
    """Though nothing is known of the outcome, the same request will not fare better."""

    @property
    def passes(self) -> bool:
        """Whether it is worth another try."""
        return self.error is Unavailable and not self.lasts


_ACL: Final = "the access rules (ACLs, or the IAM policy) do not let us: they must allow "
MEANINGS: Final[dict[int, Meaning]] = {
    -1: Meaning("UNKNOWN_SERVER_ERROR", Unavailable, "an error that the broker's own log explains"),
    1: Meaning("OFFSET_OUT_OF_RANGE", OutOfRange, "the log does not have this offset"),
    2: Meaning("CORRUPT_MESSAGE", Unavailable, "the records arrived damaged"),
    3: Meaning("UNKNOWN_TOPIC_OR_PARTITION", Misconfigured, "there is no such topic or partition"),
    5: Meaning("LEADER_NOT_AVAILABLE", Unavailable, "the partition has no leader now"),
    6: Meaning("NOT_LEADER_OR_FOLLOWER", Unavailable, "the partition has another leader now"),
    7: Meaning("REQUEST_TIMED_OUT", Unavailable, "the replicas did not answer the broker in time"),
    8: Meaning("BROKER_NOT_AVAILABLE", Unavailable, "the broker is not available"),
    9: Meaning("REPLICA_NOT_AVAILABLE", Unavailable, "the replica is not available"),
    10: Meaning("MESSAGE_TOO_LARGE", Refused, "larger than max.message.bytes of the topic"),
    13: Meaning("NETWORK_EXCEPTION", Unavailable, "the broker lost a connection of its own"),
    14: Meaning("COORDINATOR_LOAD_IN_PROGRESS", Unavailable, "the group's coordinator is still loading"),
    15: Meaning("COORDINATOR_NOT_AVAILABLE", Unavailable, "the group has no coordinator now"),
    16: Meaning("NOT_COORDINATOR", Unavailable, "the group has another coordinator now"),
    17: Meaning("INVALID_TOPIC_EXCEPTION", Misconfigured, "Kafka takes no topic of this name; set another"),
    18: Meaning("RECORD_LIST_TOO_LARGE", Refused, "larger than segment.bytes of the topic"),
    19: Meaning("NOT_ENOUGH_REPLICAS", Unavailable, "fewer replicas are in sync than min.insync.replicas asks for"),
    20: Meaning("NOT_ENOUGH_REPLICAS_AFTER_APPEND", Unavailable, "written, but to fewer replicas than are asked for"),
    22: Meaning("ILLEGAL_GENERATION", Misconfigured, "the group has members of its own: commits need another group"),
    24: Meaning("INVALID_GROUP_ID", Misconfigured, "Kafka takes no group of this name"),
    25: Meaning("UNKNOWN_MEMBER_ID", Misconfigured, "the group has members of its own: commits need another group"),
    27: Meaning("REBALANCE_IN_PROGRESS", Unavailable, "the group is rebalancing"),
    29: Meaning("TOPIC_AUTHORIZATION_FAILED", Misconfigured, _ACL + "Describe, DescribeConfigs, Read, Write, Create"),
    30: Meaning("GROUP_AUTHORIZATION_FAILED", Misconfigured, _ACL + "Describe and Read of the group"),
    31: Meaning("CLUSTER_AUTHORIZATION_FAILED", Misconfigured, _ACL + "Create and IdempotentWrite of the cluster"),
    32: Meaning("INVALID_TIMESTAMP", Refused, "its timestamp is further from the broker's clock than the topic allows"),
    33: Meaning("UNSUPPORTED_SASL_MECHANISM", Misconfigured, "the listener takes no login of this kind"),
    35: Meaning("UNSUPPORTED_VERSION", Misconfigured, "the broker is too old or too new: we speak to Kafka 2.8 to 4.x"),
    37: Meaning("INVALID_PARTITIONS", Misconfigured, "Kafka makes no topic of so many partitions"),
    38: Meaning("INVALID_REPLICATION_FACTOR", Misconfigured, "log.replication_factor of the region file is above the "
                "number of brokers; set it lower, or add brokers"),
    40: Meaning("INVALID_CONFIG", Misconfigured, "the broker does not take the topic's settings"),
    41: Meaning("NOT_CONTROLLER", Unavailable, "the cluster has another controller now"),
    42: Meaning("INVALID_REQUEST", Misconfigured, "the broker cannot read what we ask"),
    44: Meaning("POLICY_VIOLATION", Misconfigured, "a policy of the cluster forbids a topic like this"),
    45: Meaning("OUT_OF_ORDER_SEQUENCE_NUMBER", Unavailable, "these are not the next of our records", lasts=True),
    46: Meaning("DUPLICATE_SEQUENCE_NUMBER", Unavailable, "it has records of these numbers", lasts=True),
    47: Meaning("INVALID_PRODUCER_EPOCH", Unavailable, "it takes no more of this producer id", lasts=True),
    49: Meaning("INVALID_PRODUCER_ID_MAPPING", Unavailable, "this producer id is another's", lasts=True),
    51: Meaning("CONCURRENT_TRANSACTIONS", Unavailable, "the broker is still ending a transaction"),
    53: Meaning("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", Misconfigured, _ACL + "IdempotentWrite of the cluster"),
    56: Meaning("KAFKA_STORAGE_ERROR", Unavailable, "the broker's disk fails"),
    58: Meaning("SASL_AUTHENTICATION_FAILED", Misconfigured, "the broker does not let us in: check log.login"),
    59: Meaning("UNKNOWN_PRODUCER_ID", Unavailable, "it has forgotten this producer id", lasts=True),
    74: Meaning("FENCED_LEADER_EPOCH", Unavailable, "the partition has another leader now"),
    75: Meaning("UNKNOWN_LEADER_EPOCH", Unavailable, "the broker does not know the partition's leader yet"),
    76: Meaning("UNSUPPORTED_COMPRESSION_TYPE", Misconfigured, "the broker does not take this compression"),
    78: Meaning("OFFSET_NOT_AVAILABLE", Unavailable, "a new leader does not know the log's end yet"),
    87: Meaning("INVALID_RECORD", Refused, "Kafka does not take it; on a compacted topic each record needs a key"),
    89: Meaning("THROTTLING_QUOTA_EXCEEDED", Unavailable, "our quota is spent for now"),
    100: Meaning("UNKNOWN_TOPIC_ID", Unavailable, "the topic was made anew just now"),
}  # fmt: skip
_UNKNOWN: Final = Meaning("of a kind that we do not know", Unavailable, "see the broker's own log")


def meaning(code: int) -> Meaning:
    """What a code other than 0 means."""
    return MEANINGS.get(code, _UNKNOWN)


def failure(code: int, doing: str) -> EngineError:
    """The error that a code becomes, of what we were doing when the broker sent it."""
    found = meaning(code)
    return found.error(f"{doing}: {found.text} (Kafka's error {code}, {found.name})")
