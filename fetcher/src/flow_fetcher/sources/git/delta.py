"""Applies a delta to its base, within the size that the delta announces.

See "deltified representation" in gitformat-pack(5).
"""

from __future__ import annotations

import mmap
from collections.abc import Callable

from flow_fetcher.errors import SourceRejectedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object

CORRUPT_REMEDY = (
    "Run `git fsck` on the server's repository; a proxy on the way may also be at fault."
)

_COPY_DEFAULT = 0x10000
_LITERAL, _COPY = 0x7F, 0x80


class Base(Protocol):
    """What a delta builds on: bytes, or what can be cut like bytes."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> bytes: ...


def _fields(code: int) -> tuple[int, int, int, bool]:
    """Of a copy: how many bytes follow, where in their number offset and size are, and whether
    some between them are left out."""
    offset, size = code & 0x0F, code >> 4
    if offset & (offset + 1) or size & (size + 1):
        return code.bit_count(), 0xFFFFFFFF, 32, True
    shift = 8 * offset.bit_count()
    return code.bit_count(), (1 << shift) - 1, shift, False


_FIELDS = [_fields(code) for code in range(_COPY)]


def sizes(delta: bytes | mmap.mmap) -> tuple[int, int, int]:
    """The size of the base, the size of the result, and where the instructions begin.

    Raises:
        SourceRejectedError: The delta ends within them.
    """
    try:
        base, position = _size(delta, 0)
        result, position = _size(delta, position)
    except IndexError:
        raise broken("ends in its header") from None
    return base, result, position


def apply(delta: bytes, base: Base) -> bytes:
    """The result as a whole.

    Raises:
        SourceRejectedError: The delta does not fit the base or contradicts itself.
    """
    pieces: list[bytes] = []
    apply_into(delta, base, pieces.append)
    return b"".join(pieces)


def apply_into(delta: bytes | mmap.mmap, base: Base, write: Callable[[bytes], object]) -> None:
    """Like `apply`, with the result written piece by piece."""
    expected, left, at = sizes(delta)
    size, end = len(base), len(delta)
    if expected != size:
        raise broken("belongs to a base of another size")
    number = int.from_bytes
    # The loop that runs most often: no call within it that can be avoided.
    while at < end:
        code = delta[at]
        at += 1
        if code >= _COPY:
            width, mask, shift, holes = _FIELDS[code - _COPY]
            value = number(delta[at : at + width], "little")
            at += width
            if holes:
                value = _filled(code, value)
            start = value & mask
            stop = start + (value >> shift or _COPY_DEFAULT)
            left -= stop - start
            if left < 0 or stop > size:
                raise broken("copies too much, or from beyond its base")
            write(base[start:stop])
        else:
            left -= code
            if left < 0 or at + code > end or not code:
                raise broken("inserts too much, or nothing")
            write(delta[at : at + code])
            at += code
    if left or at > end:
        raise broken("is cut off, or gives a result of another size than it says")


def _filled(code: int, value: int) -> int:
    """The number with zeros for the bytes that are left out."""
    filled = 0
    for bit in range(7):
        if code >> bit & 1:
            filled |= (value & 0xFF) << 8 * bit
            value >>= 8
    return filled


def broken(problem: str) -> SourceRejectedError:
    """The error for a delta that cannot be right."""
    return SourceRejectedError(
        f"the repository's pack is corrupt: a delta {problem}",
        remedy=CORRUPT_REMEDY,
    )


def _size(delta: bytes | mmap.mmap, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = delta[position]
        position += 1
        value |= (byte & _LITERAL) << shift
        if byte < _COPY:
            return value, position
        shift += 7
        if shift > 63:
            raise broken("announces an impossible size")
