"""A producer client: sends events to whichever region takes them, and keeps on disk what none could take.

Theory
------
A page is lost where it is made more often than where it is taken: a client that gives up, a process that is restarted
with events in its memory, a retry that opens a second incident. So this client

- mints an event's temporal id here, before anything is sent. An event that is sent twice, to one region or to two, has
  one id and is one entry: sending again is always safe, and an answer that got lost costs nothing;
- tries the regions in turn, the last good one first. A region that answers 429, 503 or nothing is left alone for as
  long as it asked for, within bounds. What is refused on its merits (400, 413) no other region would take: that is told
  to the caller at once;
- writes each event to a folder, one file an event, before it is first sent, and removes the file when some region has
  the event. What a call returned for survives `kill -9` and a loss of power, and is delivered at least once;
- keeps the order under each dedup key: a resolve that overtook its trigger would leave an incident open.

Example
-------
    from tocsin.client import Producer

    with Producer(
        ["https://intake.eu.example.net", "https://intake.us.example.net"],
        routing_key,
        "/var/spool/backup-monitor",
        ca_file="/etc/ssl/tocsin-ca.pem",
    ) as producer:
        receipt = producer.trigger("Backup of db-1 is 6 h late", "db-1", "error", "backup/db-1")
        print(receipt.id, receipt.delivered)
        producer.resolve("backup/db-1")

One producer may be used from many threads. One folder belongs to one service and to one producer at a time; the routing
key is never written into it, so it can be replaced while events wait.

Two things are set aside in the folder for a person to look at, and told in the log: a file that a disk damaged
(`damaged/`), and an event that was refused after its caller was gone (`refused/`), because its routing key ended or
because it waited for longer than the regions' logs keep requests.

From tocsin it needs the core alone: neither the service's settings nor its engines are read.
"""

from tocsin.client.errors import NotDelivered, Refused, SpoolFull, SpoolInUse, Unreachable
from tocsin.client.limits import Limits
from tocsin.client.producer import Details, Producer, Receipt

__all__ = [
    "Details",
    "Limits",
    "NotDelivered",
    "Producer",
    "Receipt",
    "Refused",
    "SpoolFull",
    "SpoolInUse",
    "Unreachable",
]
