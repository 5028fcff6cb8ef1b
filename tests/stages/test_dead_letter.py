"""Nothing that can't be processed vanishes, and what comes again is kept once."""

from __future__ import annotations

from models import DeadLetter, database
from models.dead_letter import file_messages


def test_a_message_that_comes_again_is_kept_once_and_another_of_the_same_id_beside_it(any_database: str) -> None:
    def filed(*bodies: bytes) -> list[bytes]:
        reasons = {f"reason {number}": body for number, body in enumerate(bodies)}
        return [bytes(letter.body) for letter in file_messages("intake", reasons, database.now(), message_id="m1")]

    assert filed(b"one", b"two") == [b"one", b"two"]
    assert filed(b"one", b"two") == []
    assert filed(b"one", b"another") == [b"another"]
    assert filed(b"one", b"another") == []
    assert [letter.detail.partition(" (")[0] for letter in DeadLetter.select().order_by(DeadLetter.id)] == [
        "",
        "",
        "another message had the same message id",
    ]
