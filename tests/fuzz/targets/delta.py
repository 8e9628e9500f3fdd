"""Deltas: flags, the base's length, the base, the delta. The second reader must agree in full."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from flow_fetcher.errors import SourceRejectedError
from flow_fetcher.sources.git import delta as deltas
from tests.fuzz import reference
from tests.fuzz.mutation import NUMBERS, Change
from tests.fuzz.oracle import Violation, judge_error
from tests.fuzz.targets import Target

_MOST = 4 << 20


class _TooMuch(Exception):  # noqa: N818
    pass


def run(data: bytes) -> bool:
    length = int.from_bytes(data[:2], "big")
    base, delta = data[2 : 2 + length], data[2 + length :]
    pieces: list[bytes] = []
    size = 0

    def write(piece: bytes) -> None:
        nonlocal size
        size += len(piece)
        if size > _MOST:
            raise _TooMuch
        pieces.append(piece)

    try:
        expected: bytes | None = reference.apply(delta, base, _MOST)
    except reference.Unreadable:
        expected = None
    try:
        deltas.apply_into(delta, base, write)
    except SourceRejectedError as error:
        judge_error(error)
        if expected is not None:
            raise Violation(f"refuses a valid delta: {error}") from error
        if size > _announced(delta):
            raise Violation("wrote more than the delta announces") from error
        return False
    except _TooMuch:
        return False
    if b"".join(pieces) != expected:
        raise Violation("accepts a delta that is not valid, or reads it differently")
    return True


def _announced(delta: bytes) -> int:
    try:
        return deltas.sizes(delta)[1]
    except SourceRejectedError:
        return 0


def number(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def copy(start: int, size: int) -> bytes:
    """The instruction to copy this much from there."""
    code, rest = 0x80, b""
    for bit, byte in enumerate(start.to_bytes(4, "little") + size.to_bytes(3, "little")):
        if byte:
            code |= 1 << bit
            rest += bytes([byte])
    return bytes([code]) + rest


def script(base: bytes, rng: Random) -> tuple[bytes, bytes]:
    """Random valid instructions; they and their result."""
    result, out = b"", b""
    for _ in range(rng.randint(0, 6)):
        if base and rng.random() < 0.6:
            start = rng.randrange(len(base))
            size = rng.randint(1, len(base) - start)
            result, out = result + base[start : start + size], out + copy(start, size)
        else:
            piece = rng.randbytes(rng.randint(1, 127))
            result, out = result + piece, out + bytes([len(piece)]) + piece
    return number(len(base)) + number(len(result)) + out, result


def mutate(data: bytes, rng: Random, change: Change) -> bytes:
    length = int.from_bytes(data[:2], "big")
    base, delta = data[2 : 2 + length], data[2 + length :]
    what = rng.randrange(6)
    if what == 0:
        base = rng.randbytes(rng.choice((0, 1, 5, 200, 4000))) if rng.random() < 0.5 else base * 2
        delta, _ = script(base, rng)
    elif what == 1:
        delta, _ = script(base, rng)
        delta = change(delta, 1 << 13)
    elif what == 2:
        _, _, at = _sizes(delta)
        first = rng.choice((len(base), len(base), *NUMBERS))
        delta = number(first) + number(rng.choice(NUMBERS)) + delta[at:]
    elif what == 3:
        start, size = rng.choice(NUMBERS) & 0xFFFFFFFF, rng.choice(NUMBERS) & 0xFFFFFF
        delta += copy(start, size)
    elif what == 4:
        # The announced size follows the instructions, so that they are read to their end.
        body = change(delta[_sizes(delta)[2] :], 1 << 13)
        delta = number(len(base)) + number(_out(body)) + body
    else:
        delta = change(delta, 1 << 13)
    base = base[:0xFFFF]
    return len(base).to_bytes(2, "big") + base + delta


def _sizes(delta: bytes) -> tuple[int, int, int]:
    at, values = 0, []
    for _ in range(2):
        value = shift = 0
        while at < len(delta):
            value |= (delta[at] & 0x7F) << shift
            shift += 7
            at += 1
            if delta[at - 1] < 0x80:
                break
        values.append(value)
    return values[0], values[1], at


def _out(body: bytes) -> int:
    """How much instructions write, as far as they can be read."""
    total = at = 0
    while at < len(body):
        code = body[at]
        at += 1
        if code & 0x80:
            size = 0
            for bit in range(7):
                if code >> bit & 1:
                    byte = body[at] if at < len(body) else 0
                    size |= byte << 8 * (bit - 4) if bit >= 4 else 0
                    at += 1
            total += size or 0x10000
        else:
            total += code
            at += code
    return total


def seeds() -> Iterator[tuple[str, bytes]]:
    rng = Random(1)
    for size in (0, 1, 300, 70000 % 0xFFFF):
        base = rng.randbytes(size)
        delta, _ = script(base, rng)
        yield f"script-{size}", size.to_bytes(2, "big") + base + delta
    base = b"a" * 0xFFFF
    yield "default-size", b"\xff\xff" + base + number(0xFFFF) + number(0x10000) + copy(0, 0x10000)
    yield "beyond", b"\0\4base" + number(4) + number(8) + copy(0, 8)


def target(name: str) -> Target:
    del name
    return Target(run, mutate, seeds, largest=1 << 16)
