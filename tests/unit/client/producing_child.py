"""Produces events until it is killed; prints id and dedup key of each once its call has returned."""

import itertools
import sys

from tocsin.client import Limits, Producer

url, routing_key, spool = sys.argv[1:]
with Producer([url], routing_key, spool, limits=Limits(pause_first_s=0.05, pause_s_max=0.1)) as producer:
    for number in itertools.count():
        key = f"disk/{number % 4}"
        receipt = producer.resolve(key) if number % 3 else producer.trigger("Disk full", "db-1", "critical", key)
        print(receipt.id, key, flush=True)  # noqa: T201 (told to the test)
