"""Kafka, MirrorMaker 2 and Cassandra on this machine, from jars: for tests, drills and the demo, not for production."""
