"""The outcome store on Apache Cassandra or Amazon Keyspaces, one of its own in each region."""
