"""One message for many peers: built once, compressed once where peers can share it."""

from __future__ import annotations

import pytest

from kirsch.wire.websocket.copies import Copies
from kirsch.wire.websocket.deflate import Agreement, Settings
from kirsch.wire.websocket.protocol import Protocol

LONG = "worth compressing, again and again " * 30


def pair(**settings: object) -> tuple[Protocol, Protocol]:
    """A server and its client that have agreed upon compression."""
    agreed = Agreement(Settings(**settings))  # type: ignore[arg-type]  # as a test says them
    takeover = agreed.send_takeover
    theirs = Agreement(Settings(), receive_takeover=takeover, receive_bits=agreed.send_bits)
    return Protocol(agreement=agreed), Protocol(client=True, agreement=theirs)


@pytest.mark.parametrize("message", [LONG, LONG.encode(), "short", b""])
def test_plain_is_what_the_protocol_builds(message: str | bytes) -> None:
    core = Protocol()
    built = core.text(message) if isinstance(message, str) else core.binary(message)
    assert Copies(message).plain == built
    assert Protocol(client=True).feed(Copies(message).plain) == [message]


def test_peers_that_keep_no_window_share_one_frame() -> None:
    copies = Copies(LONG)
    (one, reads), (two, too) = pair(no_context_takeover=True), pair(no_context_takeover=True)
    frame = copies.frame(one)
    assert copies.frame(two) is frame
    assert len(frame) < len(LONG) // 4
    assert reads.feed(frame) == too.feed(frame) == [LONG]


def test_other_settings_have_other_frames() -> None:
    copies = Copies(LONG)
    (one, _), (two, reads) = (
        pair(no_context_takeover=True),
        pair(no_context_takeover=True, window_bits=9, level=1, memory_level=1),
    )
    assert copies.frame(one) != copies.frame(two)
    assert reads.feed(copies.frame(two)) == [LONG]
    never, _ = pair(no_context_takeover=True, threshold=1 << 20)
    assert copies.frame(never) == copies.plain


def test_a_peer_that_keeps_its_window_has_a_frame_of_its_own() -> None:
    (one, reads), (two, too) = pair(), pair()
    assert reads.feed(one.text("something before " * 40))
    copies = Copies(LONG)
    assert reads.feed(copies.frame(one)) == [LONG]
    assert too.feed(copies.frame(two)) == [LONG]
    assert one.packing is None and Protocol().packing is None
    again = Copies(LONG)
    assert len(again.frame(one)) < 30, "the window is used"
