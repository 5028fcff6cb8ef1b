"""Puts contacts onto `intake` as any other program may, each message with its confirm, and prints its times.

    python -m benchmarks._producer URL FIRST LAST SIZE

It prints what the peers' producers print: when it began and ended (seconds since 1970), and its CPU time.
"""

from __future__ import annotations

import json
import sys
import time
import uuid

import pika

from pipeline.flow import Stage, chunks


def main(url: str, first: int, last: int, size: int) -> None:
    """Publish the ids from `first` to `last` in lists of `size`."""
    began, cpu = time.time(), time.process_time()
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for ids in chunks(range(first, last + 1), size):
            properties = pika.BasicProperties(message_id=str(uuid.uuid4()), delivery_mode=2)
            channel.basic_publish("", Stage.INTAKE, json.dumps(ids).encode(), properties, mandatory=True)
    sys.stdout.write(json.dumps({"t0": began, "t1": time.time(), "cpu": time.process_time() - cpu}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
