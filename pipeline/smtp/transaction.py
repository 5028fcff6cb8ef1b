"""One message to one server, up to and after the dot.

Reads: an envelope. Returns: a `Result` for whatever goes wrong in the dialogue; it raises nothing. The steps are apart
so that the caller can claim between them: `offer` sends everything but the final dot, `finish` sends the dot and reads
the reply, `abandon` closes the connection, which makes the server discard the message (RFC 5321 4.1.1.5).
"""

from __future__ import annotations

import functools
import re
import smtplib
from collections.abc import Callable

from pipeline.content.message import Envelope
from pipeline.runtime.failpoints import failpoint
from pipeline.smtp import steps
from pipeline.smtp.bounded import has_spoken_unasked
from pipeline.smtp.connection import Connection, Endpoint
from pipeline.smtp.reply import Phase, Result, Verdict, judge, judge_failure
from pipeline.smtp.steps import StepError, demand, guarded, refused, reply_of

#: The body may take so many timeouts of a command: RFC 5321 4.5.3.2.5 gives 3 minutes to each block of it.
BODY_TIMEOUTS = 3


class Transaction:
    """One message to one server, step by step."""

    def __init__(self, take: Callable[..., Connection], endpoint: Endpoint) -> None:
        """Connect only when something is offered: `take()` gives a connection, `take(new=True)` one never used."""
        self._take = take
        self._endpoint = endpoint
        self.connection: Connection | None = None

    def offer(self, envelope: Envelope) -> Result | None:
        """Send envelope, headers and body without the final dot.

        Returns:
            None: the server waits for the dot. A Result: the message was refused, and why; nothing was sent to
            anybody.
        """
        try:
            connection = self._accepting(envelope)
            guarded(Phase.BODY, functools.partial(self._send_body, envelope.data), connection.smtp)
        except StepError as trouble:
            if trouble.said and (trouble.result.reply.code in (None, 421) or trouble.result.phase is Phase.BODY):
                self.abandon()
            return trouble.result
        return None

    def finish(self) -> Result:
        """Send the final dot and read the reply; without a reply it is unknown whether it was accepted (RFC 1047).

        If the dot can't be written to the connection it was certainly not sent: that counts as a failure of the body.
        """
        connection = self.connection
        if connection is None:
            raise RuntimeError("nothing was offered")
        smtp = connection.smtp
        connection.messages += 1
        phase = Phase.BODY
        try:
            if smtp.sock is not None:
                smtp.sock.settimeout(self._endpoint.data_timeout)
                # Else the dot could be written where the server has left already, and would be in doubt.
                if has_spoken_unasked(smtp.sock):
                    raise smtplib.SMTPServerDisconnected("the server closed the connection before the dot")
            smtp.send(b".\r\n")
            phase = Phase.DOT
            failpoint("smtp:dot")
            reply = reply_of(smtp.getreply())
            if smtp.sock is not None:
                smtp.sock.settimeout(self._endpoint.timeout)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            self.abandon()
            return judge_failure(phase, error)
        if reply.code == 421:
            self.abandon()
        return Result(judge(Phase.DOT, reply), Phase.DOT, reply)

    def abandon(self) -> None:
        """Close the connection; the server throws away a message without a dot."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _accepting(self, envelope: Envelope) -> Connection:
        """Return a connection whose server has accepted the envelope and waits for the message.

        A server may take only so many messages a connection: one that closes a kept connection is asked on a new one.
        """
        kept = self.connection = self._take()
        failpoint("smtp:connected")
        try:
            self._envelope(kept.smtp, envelope)
        except StepError as trouble:
            if not (kept.kept and _has_hung_up(trouble)):
                raise
            self.abandon()
            new = self.connection = self._take(new=True)
            self._envelope(new.smtp, envelope)
            return new
        return kept

    def _send_body(self, data: bytes, smtp: smtplib.SMTP) -> None:
        # A timeout is that of all that is sent in one call.
        if smtp.sock is not None:
            smtp.sock.settimeout(self._endpoint.timeout * BODY_TIMEOUTS)
        smtp.send(_dot_stuffed(data))
        if smtp.sock is not None:
            smtp.sock.settimeout(self._endpoint.timeout)

    def _envelope(self, smtp: smtplib.SMTP, envelope: Envelope) -> None:
        _demand_room(smtp, len(envelope.data))
        options = ""
        if envelope.needs_smtputf8:
            if not smtp.has_extn("smtputf8"):
                raise StepError(refused(Verdict.RECIPIENT_FOR_NOW, Phase.MAIL, "SMTPUTF8 is not offered"))
            options += " SMTPUTF8 BODY=8BITMIME"
            smtp.command_encoding = "utf-8"
        if smtp.has_extn("size"):
            options += f" SIZE={len(envelope.data)}"
        commands = (
            (Phase.MAIL, f"MAIL FROM:<{envelope.sender}>{options}", 250),
            (Phase.RCPT, f"RCPT TO:<{envelope.recipient}>", 250),
            (Phase.DATA, "DATA", 354),
        )
        if smtp.has_extn("pipelining"):
            self._in_one_write(smtp, commands)
            return
        for phase, command, wanted in commands:
            reply = guarded(phase, functools.partial(steps.command, command), smtp)
            demand(phase, reply, wanted)

    def _in_one_write(self, smtp: smtplib.SMTP, commands: tuple[tuple[Phase, str, int], ...]) -> None:
        """Send all commands at once, then read all replies (RFC 2920); the first that is not as wanted counts, even if
        the server closes the connection after it.
        """
        lines = "".join(f"{command}\r\n" for _, command, _ in commands).encode()
        guarded(Phase.MAIL, lambda s: s.send(lines), smtp)
        troubles: list[StepError] = []
        waits_for_message = False
        for phase, _, wanted in commands:
            try:
                reply = guarded(phase, lambda s: reply_of(s.getreply()), smtp)
                waits_for_message = reply.code == 354
                demand(phase, reply, wanted)
            except StepError as error:
                troubles.append(error)
                if error.result.reply.code is None:
                    self.abandon()
                    break
        if troubles:
            if waits_for_message:
                # The server waits for a message all the same: only closing the connection ends that.
                self.abandon()
            raise troubles[0]


def _demand_room(smtp: smtplib.SMTP, size: int) -> None:
    """Raise StepError where the server has said that it takes no message of this size (RFC 1870 section 4; 0: that it
    has no fixed limit).
    """
    limit = smtp.esmtp_features.get("size", "")
    if re.fullmatch(r"[0-9]{1,20}", limit) and 0 < int(limit) < size:
        text = f"the message has {size} octets, and the server takes {limit} (SIZE)"
        raise StepError(refused(Verdict.CONTENT, Phase.GREETING, text), said=False)


def _has_hung_up(trouble: StepError) -> bool:
    """Tell whether the server has closed the connection, or says so (421), before it accepted anything."""
    return trouble.result.phase is Phase.MAIL and (trouble.lost or trouble.result.reply.code == 421)


def _dot_stuffed(data: bytes) -> bytes:
    """RFC 5321 4.5.2."""
    return re.sub(rb"(?m)^\.", b"..", data)
