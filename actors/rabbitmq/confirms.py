"""Publishes a list of messages and then waits for all their confirms, where pika's own channel waits for each.

A message is safe with a positive confirm of its own and no return before it (rabbitmq.com/docs/confirms). On anything
else the whole list counts as not published: it is to be published again, on a new channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pika
import pika.exceptions
from pika import spec
from pika.adapters.blocking_connection import BlockingConnection, ReturnedMessage

from pipeline.runtime.failpoints import failpoint


class Publication(NamedTuple):
    """What RabbitMQ is given: where to, bytes, and properties."""

    exchange: str
    routing_key: str
    body: bytes
    properties: pika.BasicProperties


class Confirms:
    """A channel with confirms on; after an error it is of no use any more.

    Attributes:
        connection: whose channel it is, and with which it closes.
    """

    def __init__(self, connection: BlockingConnection) -> None:
        """Open it, and switch confirms on. Raises an error of pika's where RabbitMQ is away."""
        self.connection = connection
        self._channel = connection.channel()
        self._published = 0
        self._open: set[int] = set()
        self._returned: list[ReturnedMessage] = []
        self._is_refused = self._is_on = False
        # By hand: what pika's `confirm_delivery` sets up takes one confirm at a time.
        self._channel._impl.add_on_return_callback(self._note_return)
        self._channel._impl.confirm_delivery(self._note, self._note_on)
        self._wait_until(lambda: self._is_on)

    def publish(self, publications: Sequence[Publication]) -> None:
        """Publish messages and wait until each is confirmed.

        Raises:
            UnroutableError: one came back: its queue is not there.
            NackError: RabbitMQ did not take one: its queue is full.
            AMQPError: the channel or the connection was lost or blocked meanwhile.
        """
        for publication in publications:
            self._published += 1
            self._open.add(self._published)
            self._channel.basic_publish(*publication, mandatory=True)
        if len(publications) > 1:
            self._wait_until(lambda: len(self._open) <= len(publications) // 2)
            failpoint("confirms:half")
        self._wait_until(lambda: not self._open)

    def _wait_until(self, is_so: Any) -> None:
        self._channel._flush_output(lambda: is_so() or self._is_refused or bool(self._returned))
        if self._is_refused:
            raise pika.exceptions.NackError(self._returned)
        if self._returned:
            raise pika.exceptions.UnroutableError(self._returned)
        if self._channel.is_closed:
            # By ourselves or with its connection; what RabbitMQ closes it for has been raised.
            raise pika.exceptions.ChannelWrongStateError("the channel was closed before all was confirmed")

    def _note_on(self, _frame: Any) -> None:
        self._is_on = True

    def _note(self, frame: Any) -> None:
        confirm = frame.method
        if isinstance(confirm, spec.Basic.Nack):
            self._is_refused = True
        elif confirm.multiple:
            self._open = {tag for tag in self._open if tag > confirm.delivery_tag}
        else:
            self._open.discard(confirm.delivery_tag)

    def _note_return(self, _channel: Any, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        self._returned.append(ReturnedMessage(method, properties, body))
