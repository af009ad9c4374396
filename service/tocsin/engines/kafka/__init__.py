"""The log port on Apache Kafka, or on what speaks its protocol (Amazon MSK)."""
