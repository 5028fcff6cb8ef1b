"""What is counted on the wire to RabbitMQ is each message that is published, however large."""

from __future__ import annotations

from urllib.parse import urlsplit

import pika

from tests.wire import AmqpWire, Counts


def test_messages_are_counted(rabbitmq_url: str) -> None:
    parts = urlsplit(rabbitmq_url)
    assert parts.port is not None
    with AmqpWire(parts.port) as wire:
        url = rabbitmq_url.replace(f":{parts.port}/", f":{wire.port}/")
        with pika.BlockingConnection(pika.URLParameters(url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.queue_declare("counted", exclusive=True)
            for size in (1, 0, 300_000):
                channel.basic_publish("", "counted", bytes(size))
            # Neither an acknowledgement nor a look is a message.
            channel.basic_get("counted", auto_ack=True)

        assert wire.counts == Counts(messages=3)
