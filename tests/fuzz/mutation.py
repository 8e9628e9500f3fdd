"""Small random changes, shared by all mutators; deterministic for one random generator."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

Change = Callable[[bytes, int], bytes]
"""Changes bytes, up to a largest size; libFuzzer's own where it runs, else `plain`."""

NASTY = [
    b"..", b".", b"", b".git", b".GIT", b".git.", b".git ", b"git~1", b".git:x", b".git\\x",
    ".g\u200cit".encode(), ".GI\u200dT\ufeff".encode(), b".gitmodules", b"GITMOD~1", b"a/b",
    b"/etc", b"../x",
    b"../../x", b"a/../../x", b"a/..", b"/x", b"../canary", b"../../canary", b"..\\x",
    b"a\0b", b"\xff\xfe", b"x" * 255, b"x" * 256, b"c:", b"con", b"a b", b"-rf", b"\n", b"...",
    b"a", b"b", b"c", b"d", b"src", b"A", "\u00e9".encode(), "e\u0301".encode(), b"..a", b"a..",
    b"./a", b"a/.", b"a//b", b"x/" * 30 + b"y", b"~", b"*", b"..\0", b"../src/a", b"../src",
    b"b/..", b"b/../..", b"b/../../canary", b"a/b/c/../../../..",
]  # fmt: skip
NUMBERS = [0, 1, 2, 4, 7, 8, 15, 16, 63, 64, 127, 128, 255, 256, 511, 512, 513, 4095, 4096, 65535]
NUMBERS += [65536, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 40, (1 << 63) - 1, 1 << 63]


def plain(rng: Random) -> Change:
    """Changes that need no libFuzzer."""

    def change(data: bytes, most: int) -> bytes:
        out = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 4))):
            at = rng.randrange(len(out) + 1)
            what = rng.randrange(7)
            if what == 0 and out:
                out[at % len(out)] ^= 1 << rng.randrange(8)
            elif what == 1 and out:
                out[at % len(out)] = rng.randrange(256)
            elif what == 2:
                out[at:at] = rng.randbytes(rng.randint(1, 4))
            elif what == 3:
                del out[at : at + rng.choice((1, 1, 2, 8, 64))]
            elif what == 4:
                out[at:at] = rng.choice(NASTY)
            elif what == 5 and out:
                start = rng.randrange(len(out))
                out[at:at] = out[start : start + rng.choice((1, 4, 16, 128))]
            elif what == 6 and out:
                width = rng.choice((1, 2, 4))
                number = rng.choice(NUMBERS) & ((1 << 8 * width) - 1)
                out[at : at + width] = number.to_bytes(width, rng.choice(("big", "little")))
        return bytes(out[:most])

    return change


def some(rng: Random, data: bytes, change: Change) -> bytes:
    """New content: changed, repeated, cut, or nasty."""
    what = rng.randrange(6)
    if what == 0:
        return rng.choice(NASTY)
    if what == 1:
        return data * rng.choice((2, 3, 17)) if len(data) < 400 else data[: len(data) // 2]
    if what == 2:
        return rng.randbytes(rng.choice((0, 1, 20, 130, 700)))
    return change(data, max(len(data) + 64, 128))
