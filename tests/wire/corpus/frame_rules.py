"""The rules about frames of a WebSocket; docs/wire.md has them as a table."""

#: What is wrong -> (in words, code, reason, source).
REFUSED = {
    "rsv": ("a reserved bit without a meaning", 1002, "a reserved bit is set", "RFC 6455 5.2, RFC 7692 6"),
    "opcode": ("an opcode other than 0, 1, 2, 8, 9, 10", 1002, "unknown opcode", "RFC 6455 5.2"),
    "fragmented-control": ("a control frame without FIN", 1002, "fragmented control frame", "RFC 6455 5.5"),
    "long-control": ("a control frame of more than 125 bytes", 1002, "control frame of more than 125 bytes", "RFC 6455 5.5"),
    "length": ("a length in more bytes than it needs", 1002, "frame length is not written in the fewest bytes", "RFC 6455 5.2"),
    "huge": ("a length of 64 bits", 1002, "frame length of more than 63 bits", "RFC 6455 5.2"),
    "unmasked": ("a client's frame without mask, an empty one too", 1002, "a client's frames must be masked", "RFC 6455 5.1"),
    "masked": ("a server's frame with a mask", 1002, "a server's frames must not be masked", "RFC 6455 5.1"),
    "continuation": ("a continuation that continues nothing", 1002, "continuation without a message", "RFC 6455 5.4"),
    "interleaved": ("a new message before the last one ended", 1002, "new message within a fragmented one", "RFC 6455 5.4"),
    "close-byte": ("a Close frame of one byte", 1002, "close frame of one byte", "RFC 6455 5.5.1"),
    "close-code": ("a close code below 1000, reserved, unassigned or above 4999", 1002, "close code that may not be sent", "RFC 6455 7.4"),
    "utf-8": ("a text or reason that is no UTF-8, at the first wrong byte", 1007, "text is not UTF-8", "RFC 6455 8.1"),
    "size": ("a message of more than `max_message` bytes, when it is announced or inflated", 1009, "message too big", "RFC 6455 7.4.1, 10.4"),
    "deflate": ("compressed data that does not inflate, or not to UTF-8 where it is a text", 1007, "compressed data is broken, or its text is not UTF-8", "RFC 7692 7.2.2, RFC 6455 8.1"),
}  # fmt: skip
