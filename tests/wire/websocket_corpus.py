"""Frame sequences and handshakes, well formed and not, and how they must be read; written by hand.

Nothing here uses the code under test: frames are put together anew.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

from corpus_loader import FAILURES

from kirsch.wire.websocket.events import Close, Ping, Pong

KEY = b"\x37\xfa\x21\x3d"  # RFC 6455 5.7


def masked(payload: bytes, key: bytes = KEY) -> bytes:
    return bytes(octet ^ key[index % 4] for index, octet in enumerate(payload))


def frame(first: int, payload: bytes = b"", *, key: bytes | None = KEY, form: int = 0) -> bytes:
    """A frame; *form* 126 or 127 writes the length in 2 or 8 bytes whatever it is."""
    size = len(payload)
    form = form or (size if size < 126 else 126 if size < 65536 else 127)
    bit = 0 if key is None else 0x80
    head = bytes((first, bit | form))
    if form == 126:
        head += struct.pack(">H", size)
    elif form == 127:
        head += struct.pack(">Q", size)
    return head + payload if key is None else head + key + masked(payload, key)


def text(words: str, first: int = 0x81) -> bytes:
    return frame(first, words.encode())


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(0x88, struct.pack(">H", code) + reason)


def deflated(data: bytes) -> bytes:
    context = zlib.compressobj(wbits=-15)
    return (context.compress(data) + context.flush(zlib.Z_SYNC_FLUSH))[:-4]


def _valid(name: str, rfc: str, data: bytes, *events: Any, **options: Any) -> dict[str, Any]:
    return {"name": name, "rfc": rfc, "data": data, "events": list(events), **options}


HELLO = bytes.fromhex("f248cdc9c90700")  # RFC 7692 7.2.3.1
TAIL = b"\0\0\xff\xff"  # RFC 7692 7.2.1
DEFLATE = {"deflate": True}
SERVER_FRAMES = {"client": True}

#: What must be read without complaint: name, rfc, data, events; options deflate, client.
VALID = [
    _valid("a text", "RFC 6455 5.7", bytes.fromhex("818537fa213d7f9f4d5158"), "Hello"),
    _valid("an unmasked text", "RFC 6455 5.7", b"\x81\x05Hello", "Hello", **SERVER_FRAMES),
    _valid("an unmasked fragmented text", "RFC 6455 5.7", b"\x01\x03Hel\x80\x02lo", "Hello", **SERVER_FRAMES),
    _valid("an unmasked ping", "RFC 6455 5.7", b"\x89\x05Hello", Ping(b"Hello"), **SERVER_FRAMES),
    _valid("a masked pong", "RFC 6455 5.7", bytes.fromhex("8a8537fa213d7f9f4d5158"), Pong(b"Hello")),
    _valid("256 bytes", "RFC 6455 5.7", b"\x82\x7e\x01\x00" + bytes(256), bytes(256), **SERVER_FRAMES),
    _valid("64 KiB", "RFC 6455 5.7", b"\x82\x7f" + struct.pack(">Q", 65536) + bytes(65536), bytes(65536), **SERVER_FRAMES),
    _valid("an empty text", "RFC 6455 5.6", text(""), ""),
    _valid("an empty binary", "RFC 6455 5.6", frame(0x82), b""),
    _valid("an empty ping", "RFC 6455 5.5.2", frame(0x89), Ping()),
    _valid("an empty pong", "RFC 6455 5.5.3", frame(0x8A), Pong()),
    *(
        _valid(f"{size} bytes", "RFC 6455 5.2", frame(0x82, bytes(range(256)) * (size // 256) + b"x" * (size % 256)), bytes(range(256)) * (size // 256) + b"x" * (size % 256))
        for size in (1, 2, 3, 4, 5, 124, 125, 126, 127, 128, 129, 255, 4095, 4096, 4097, 8191, 65535, 65536, 65537)
    ),
    *(
        _valid(f"a text of {size} bytes", "RFC 6455 5.2", text("é" * (size // 2) + "x" * (size % 2)), "é" * (size // 2) + "x" * (size % 2))
        for size in (1, 124, 125, 126, 127, 65535, 65536)
    ),
    _valid("a mask of zeros", "RFC 6455 5.3", frame(0x81, b"abc", key=bytes(4)), "abc"),
    _valid("each frame with its own mask", "RFC 6455 5.3", frame(0x01, b"abc") + frame(0x80, b"def", key=b"abcd"), "abcdef"),
    _valid("two messages", "RFC 6455 5.4", text("a") + frame(0x82, b"b"), "a", b"b"),
    _valid("empty fragments", "RFC 6455 5.4", frame(0x01) + frame(0x00) * 5 + frame(0x80), ""),
    _valid("a fragmented binary", "RFC 6455 5.4", frame(0x02, b"abcde") + frame(0x00, b"f") + frame(0x80, b"ghi"), b"abcdefghi"),
    _valid("an empty last fragment", "RFC 6455 5.4", frame(0x01, b"abc") + frame(0x80), "abc"),
    _valid("a ping within a message", "RFC 6455 5.4", frame(0x01, b"ab") + frame(0x89, b"?") + frame(0x80, b"c"), Ping(b"?"), "abc"),
    _valid("control frames within a message", "RFC 6455 5.4", frame(0x02) + frame(0x89) + frame(0x00, b"a") + frame(0x8A, b"!") + frame(0x80), Ping(), Pong(b"!"), b"a"),
    _valid("a ping of 125 bytes", "RFC 6455 5.5", frame(0x89, b"p" * 125), Ping(b"p" * 125)),
    _valid("pings that are no UTF-8", "RFC 6455 5.5.2", frame(0x89, b"\xff\0"), Ping(b"\xff\0")),
    _valid("a character in two frames", "RFC 6455 5.6", frame(0x01, b"\xf0\x9f") + frame(0x80, b"\x8d\x92"), "🍒"),
    _valid("a character in four frames", "RFC 6455 5.6", frame(0x01, b"\xf0") + frame(0x00, b"\x9f") + frame(0x89) + frame(0x00, b"\x8d") + frame(0x80, b"\x92"), Ping(), "🍒"),
    _valid("texts at the edges of UTF-8", "RFC 3629 3", text("\0\x7f\x80\u07ff\u0800\ud7ff\ue000\ufffe\uffff\U00010000\U0010ffff"), "\0\x7f\x80\u07ff\u0800\ud7ff\ue000\ufffe\uffff\U00010000\U0010ffff"),
    _valid("a byte order mark", "RFC 6455 5.6", text("\ufeffa"), "\ufeffa"),
    _valid("binary that is no UTF-8", "RFC 6455 5.6", frame(0x02, b"\xff") + frame(0x80, b"\xc0"), b"\xff\xc0"),
    _valid("a close without code", "RFC 6455 5.5.1", frame(0x88), Close(1005)),
    _valid("a close with a reason", "RFC 6455 5.5.1", close(1001, "tschüß".encode()), Close(1001, "tschüß")),
    _valid("a close with the longest reason", "RFC 6455 5.5.1", close(1000, b"r" * 123), Close(1000, "r" * 123)),
    _valid("a close within a message", "RFC 6455 5.4", frame(0x01, b"a") + close(1000), Close(1000)),
    _valid("whatever after a close", "RFC 6455 1.4", close(1000) + text("no") + b"\xff\xff" + close(1001), Close(1000)),
    *(
        _valid(f"close code {code}", "RFC 6455 7.4.1", close(code), Close(code))
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014)
    ),
    *(_valid(f"close code {code}", "RFC 6455 7.4.2", close(code), Close(code)) for code in (3000, 3999, 4000, 4999)),
    _valid("as long as may be", "RFC 6455 10.4", frame(0x82, b"x" * 300), b"x" * 300, limit=300),
    _valid("as long as may be, fragmented", "RFC 6455 10.4", frame(0x02, b"x" * 200) + frame(0x80, b"x" * 100), b"x" * 300, limit=300),
    _valid("the limit is one of each message", "RFC 6455 10.4", frame(0x82, b"x" * 7) * 3, *[b"x" * 7] * 3, limit=7),
    _valid("a compressed text", "RFC 7692 7.2.3.1", frame(0xC1, HELLO), "Hello", **DEFLATE),
    _valid("a compressed fragmented text", "RFC 7692 7.2.3.1", frame(0x41, HELLO[:3]) + frame(0x80, HELLO[3:]), "Hello", **DEFLATE),
    _valid("a shared window", "RFC 7692 7.2.3.2", frame(0xC1, HELLO) + frame(0xC1, bytes.fromhex("f200110000")), "Hello", "Hello", **DEFLATE),
    _valid("a block without compression", "RFC 7692 7.2.3.3", frame(0xC1, bytes.fromhex("000500faff48656c6c6f00")), "Hello", **DEFLATE),
    _valid("a block with BFINAL", "RFC 7692 7.2.3.4", frame(0xC1, bytes.fromhex("f348cdc9c9070000")), "Hello", **DEFLATE),
    _valid("messages after BFINAL", "RFC 7692 7.2.3.4", frame(0xC1, bytes.fromhex("f348cdc9c9070000")) * 3 + frame(0xC1, HELLO), *["Hello"] * 4, **DEFLATE),
    _valid("nothing after BFINAL", "RFC 7692 7.2.3.4", frame(0xC1, bytes.fromhex("f348cdc9c90700")) * 2, "Hello", "Hello", **DEFLATE),
    _valid("two blocks", "RFC 7692 7.2.3.5", frame(0xC1, bytes.fromhex("f248050000 00ffffcac9c90700".replace(" ", ""))), "Hello", **DEFLATE),
    _valid("an empty compressed text", "RFC 7692 7.2.3.6", frame(0xC1, b"\0"), "", **DEFLATE),
    _valid("nothing at all for an empty message", "none", frame(0xC2) + frame(0xC1, HELLO), b"", "Hello", **DEFLATE),
    _valid("not every message compressed", "RFC 7692 6", frame(0xC1, HELLO) + text("Hello") + frame(0xC1, HELLO), *["Hello"] * 3, **DEFLATE),
    _valid("empty fragments of a compressed message", "RFC 7692 6.1", frame(0x42) + frame(0x00, HELLO) + frame(0x89) + frame(0x80), Ping(), b"Hello", **DEFLATE),
    _valid("a compressed message as long as may be", "RFC 6455 10.4", frame(0xC2, deflated(bytes(5000))), bytes(5000), limit=5000, **DEFLATE),
    _valid("incompressible and as long as may be", "RFC 6455 10.4", frame(0xC2, b"\0\x2c\1\xd3\xfe" + bytes(range(150)) * 2 + b"\0"), bytes(range(150)) * 2, limit=300, **DEFLATE),
    _valid("incompressible, fragmented and as long as may be", "RFC 6455 10.4", frame(0x42, b"\0\x2c\1\xd3\xfe" + bytes(range(150))) + frame(0x80, bytes(range(150)) + b"\0"), bytes(range(150)) * 2, limit=300, **DEFLATE),
    _valid("compressed characters in pieces", "RFC 6455 5.6", frame(0x41, deflated("🍒é".encode() * 9)[:9]) + frame(0x80, deflated("🍒é".encode() * 9)[9:]), "🍒é" * 9, **DEFLATE),
]  # fmt: skip


#: What is wrong -> (in words, code, reason, source).
REFUSED = FAILURES


def _bad(rule: str, name: str, data: bytes, *before: Any, **options: Any) -> dict[str, Any]:
    return {"rule": rule, "name": name, "data": data, "before": list(before), **options}


NOT_UTF8 = {
    "a lone continuation byte": b"\x80",
    "0xFF": b"ab\xff",
    "an overlong slash": b"\xc0\xaf",
    "an overlong NUL": b"\xe0\x80\x80",
    "an overlong U+FFFF": b"\xf0\x8f\xbf\xbf",
    "a surrogate": b"\xed\xa0\x80",
    "above U+10FFFF": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "a broken character": "é".encode()[:1] + b"a",
}

#: What must fail the connection: rule, name, data, events before; options deflate, client, limit.
INVALID = [
    *(_bad("rsv", f"RSV bits {bits:#x}", frame(0x81 | bits, b"a")) for bits in (0x10, 0x20, 0x40, 0x70)),
    *(_bad("rsv", f"RSV bits {bits:#x}, deflate", frame(0x81 | bits, HELLO), **DEFLATE) for bits in (0x10, 0x20, 0x50)),
    _bad("rsv", "after a message", text("a") + frame(0xC1, b"a"), "a"),
    _bad("rsv", "a compressed ping", frame(0xC9), **DEFLATE),
    _bad("rsv", "a compressed close", frame(0xC8), **DEFLATE),
    _bad("rsv", "a compressed continuation", frame(0x41, HELLO) + frame(0xC0), **DEFLATE),
    *(_bad("opcode", f"opcode {opcode}", frame(0x80 | opcode)) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
    _bad("opcode", "fragmented", frame(0x03, b"a")),
    *(_bad("fragmented-control", f"opcode {opcode}", frame(opcode)) for opcode in (8, 9, 10)),
    *(_bad("long-control", f"opcode {opcode}", frame(0x80 | opcode, b"a" * 126)) for opcode in (8, 9, 10)),
    _bad("long-control", "by its form", frame(0x89, b"a", form=126)),
    _bad("length", "0 in two bytes", frame(0x81, form=126)),
    _bad("length", "124 in two bytes", frame(0x81, b"a" * 124, form=126)),
    _bad("length", "125 in two bytes", frame(0x81, b"a" * 125, form=126)),
    _bad("length", "1 in eight bytes", frame(0x82, b"a", form=127)),
    _bad("length", "65535 in eight bytes", frame(0x82, b"a" * 65535, form=127)),
    _bad("huge", "all ones", b"\x82\xff" + b"\xff" * 8 + KEY),
    _bad("huge", "the highest bit", b"\x82\xff\x80" + bytes(7) + KEY),
    _bad("unmasked", "a text", frame(0x81, b"a", key=None)),
    _bad("unmasked", "an empty text", b"\x81\0"),
    _bad("unmasked", "an empty ping", b"\x89\0"),
    _bad("unmasked", "an empty close", b"\x88\0"),
    _bad("unmasked", "the second frame", frame(0x01, b"a") + frame(0x80, b"a", key=None)),
    _bad("unmasked", "a large one", frame(0x82, b"a" * 70000, key=None)),
    _bad("masked", "a text", text("a"), client=True),
    _bad("masked", "an empty ping", frame(0x89), client=True),
    _bad("continuation", "at first", frame(0x80, b"a")),
    _bad("continuation", "not the last", frame(0x00, b"a")),
    _bad("continuation", "after a message", text("a") + frame(0x80), "a"),
    _bad("continuation", "after a fragmented message", frame(0x01) + frame(0x80) + frame(0x80), ""),
    _bad("interleaved", "a text", frame(0x01, b"a") + text("b")),
    _bad("interleaved", "a binary", frame(0x01, b"a") + frame(0x89) + frame(0x02, b"b"), Ping()),
    _bad("close-byte", "one byte", frame(0x88, b"\x03")),
    *(
        _bad("close-code", f"code {code}", close(code))
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    ),
    *(_bad("utf-8", name, text("ok") + frame(0x81, wrong), "ok") for name, wrong in NOT_UTF8.items()),
    *(_bad("utf-8", f"{name}, fragmented", frame(0x01, wrong) + frame(0x80)) for name, wrong in NOT_UTF8.items()),
    *(_bad("utf-8", f"{name}, long", frame(0x81, b"a" * 200 + wrong)) for name, wrong in NOT_UTF8.items()),
    *(_bad("deflate", name, frame(0xC1, deflated(wrong)), **DEFLATE) for name, wrong in NOT_UTF8.items()),
    *(_bad("utf-8", f"{name}, reason", close(1000, wrong)) for name, wrong in NOT_UTF8.items()),
    _bad("utf-8", "half a character", frame(0x81, b"\xc3")),
    _bad("utf-8", "half a character in a large frame", frame(0x81, b"a" * 70000 + b"\xe2\x82")),
    _bad("utf-8", "half a character, fragmented", frame(0x01, b"a\xe2") + frame(0x80, b"\x82")),
    _bad("utf-8", "half a character, then nothing", frame(0x01, b"\xe2\x82") + frame(0x80)),
    _bad("utf-8", "half a character in a reason", close(1000, b"\xc3")),
    _bad("deflate", "half a character", frame(0xC1, deflated(b"\xc3")), **DEFLATE),
    _bad("size", "one byte too many", frame(0x82, b"a" * 11), limit=10),
    _bad("size", "one byte too many in a long frame", frame(0x82, b"a" * 301), limit=300),
    _bad("size", "announced only", b"\x82\xff" + struct.pack(">Q", 1 << 40) + KEY),
    _bad("size", "by the last fragment", frame(0x01, b"a" * 6) + frame(0x89) + frame(0x80, b"a" * 5), Ping(), limit=10),
    _bad("size", "by many fragments", frame(0x02) + frame(0x00, b"a") * 11, limit=10),
    _bad("size", "inflated", frame(0xC2, deflated(bytes(1001))), limit=1000, **DEFLATE),
    _bad("size", "a bomb", frame(0xC2, deflated(bytes(1 << 24))), limit=1 << 20, **DEFLATE),
    _bad("size", "inflated in fragments", frame(0x42, deflated(bytes(999))) + frame(0x80, TAIL + deflated(b"ab")), limit=1000, **DEFLATE),
    _bad("size", "after BFINAL", frame(0xC2, bytes.fromhex("f348cdc9c90700") + deflated(b"abcdef")), limit=10, **DEFLATE),
    _bad("deflate", "not UTF-8, then too big", frame(0xC1, deflated(b"a\xffaaa" * 9)), limit=40, **DEFLATE),
    _bad("size", "too big, then not UTF-8", frame(0xC1, deflated(b"a" * 300 + b"\xff")), limit=299, **DEFLATE),
    _bad("deflate", "a reserved block type", frame(0xC1, b"\xff\xff"), **DEFLATE),
    _bad("deflate", "a distance too far back", frame(0xC1, bytes.fromhex("f200110000")), **DEFLATE),
    _bad("deflate", "a length that contradicts itself", frame(0xC1, bytes.fromhex("000500faff48656c6c6f00").replace(b"\xfa", b"\xfb")), **DEFLATE),
    _bad("deflate", "an endless row of BFINAL", frame(0xC1, bytes.fromhex("0300") * 5), **DEFLATE),
]  # fmt: skip
