"""Regions as data: what a region file says, and whether the files of all regions agree.

A region file is the one place where a region is described: its partitions, peers, log, stores and limits. The service
reads it, Terraform reads it, and editors check it by the JSON schema that is made from these models. Two files can each
be right and yet not fit: A mirrors from B, but B does not know A; partition counts differ, so that one parent has two
numbers. Such a pair would run, and lose agreement silently. So the files of a folder are read together, every fault of
every file is collected, and each is named by file and field.
"""

from tocsin.topology.engines import (
    AwsIdentity,
    CassandraStack,
    ClientTls,
    EmbeddedLog,
    KafkaLog,
    LogEngine,
    Password,
    Scram,
    SqliteStack,
    Stack,
    host_and_port,
)
from tocsin.topology.folder import Topology, load_topology
from tocsin.topology.reading import OVERRIDE_PREFIX, load_region, region_schema
from tocsin.topology.region import (
    ASSIGNMENTS,
    DIRECTORY,
    FEEDBACK,
    LEDGER,
    MIRRORED,
    PAGES_PATH,
    REQUESTS,
    Peer,
    Process,
    Region,
    Server,
    Synthetic,
    TlsFiles,
)
from tocsin.topology.section import is_loopback

__all__ = [
    "ASSIGNMENTS",
    "DIRECTORY",
    "FEEDBACK",
    "LEDGER",
    "MIRRORED",
    "OVERRIDE_PREFIX",
    "PAGES_PATH",
    "REQUESTS",
    "AwsIdentity",
    "CassandraStack",
    "ClientTls",
    "EmbeddedLog",
    "KafkaLog",
    "LogEngine",
    "Password",
    "Peer",
    "Process",
    "Region",
    "Scram",
    "Server",
    "SqliteStack",
    "Stack",
    "Synthetic",
    "TlsFiles",
    "Topology",
    "host_and_port",
    "is_loopback",
    "load_region",
    "load_topology",
    "region_schema",
]
