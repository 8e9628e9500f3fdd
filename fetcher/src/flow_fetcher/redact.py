"""The one gate for text that leaves the process: no known credential passes, in any usual spelling.

Covered are a secret as it is, URL-encoded (in full, in part, twice, in either case), escaped as in
JSON, Python or HTML, and in base64 of either alphabet at any alignment, whatever stands before and
after it. Text is searched as it is and in each decoded view of it; what matches in a view is cut
from the original.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

MASK = "***"

_PERCENT = rb"%[0-9A-Fa-f]{2}"
_BACKSLASH = rb"\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\."
_ENTITY = rb"&(?:amp|lt|gt|quot|\#x27|\#39);"
# Each by itself as well: what stands before a secret may look like the beginning of another escape.
_ESCAPES = (_PERCENT, _BACKSLASH, _ENTITY, b"|".join((_PERCENT, _BACKSLASH, _ENTITY)))
_HTML = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"#x27": b"'", b"#39": b"'"}
_CONTROLS = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_DECODINGS = 3
_URLSAFE = bytes.maketrans(b"-_", b"+/")
_BASE64 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_PADDING = ord("=")
_WORD = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_SHORT = 4
"""A shorter secret is cut only where it stands alone, or texts would be full of holes."""
_SHORTEST_CORE = 7


class Redactor:
    """Cuts every secret it was told of out of text."""

    def __init__(self) -> None:
        self._secrets: set[bytes] = set()
        self._cores: set[bytes] = set()

    def add(self, secret: str) -> None:
        """Remember a secret; an empty one is ignored."""
        raw = secret.encode("utf-8", "surrogatepass")
        # As Python prints it within a string: one escape for a character, not for a byte.
        printed = secret.encode("latin-1", "replace") if max(secret, default="") < "\u0100" else raw
        for form in {raw, printed, raw.replace(b" ", b"+")} - {b""}:
            self._secrets.add(form)
            self._cores.update(core for core in _cores(form) if len(core) >= _SHORTEST_CORE)

    def __call__(self, text: str) -> str:
        """The text with a mask in place of each secret."""
        if not self._secrets:
            return text
        raw = text.encode("utf-8", "surrogatepass")
        spans = sorted(self._spans(raw))
        if not spans:
            return text
        parts, end = [], 0
        for start, stop in spans:
            if start >= end:
                parts += [raw[end:start], MASK.encode()]
            end = max(end, stop)
        return b"".join([*parts, raw[end:]]).decode("utf-8", "replace")

    def _spans(self, raw: bytes) -> Iterator[tuple[int, int]]:
        for view, positions in _views(raw):
            found = [*self._find_raw(view), *self._find_base64(view.translate(_URLSAFE))]
            for start, stop in found:
                yield positions[start], positions[stop]

    def _find_raw(self, view: bytes) -> Iterator[tuple[int, int]]:
        for secret in self._secrets:
            for start in _occurrences(view, secret):
                stop = start + len(secret)
                if len(secret) >= _SHORT or _alone(view, start, stop):
                    yield start, stop

    def _find_base64(self, view: bytes) -> Iterator[tuple[int, int]]:
        for core in self._cores:
            for found in _occurrences(view, core):
                start, stop = found, found + len(core)
                while start > 0 and view[start - 1] in _BASE64:
                    start -= 1
                while stop < len(view) and view[stop] in _BASE64:
                    stop += 1
                while stop < len(view) and view[stop] == _PADDING:
                    stop += 1
                yield start, stop


def _views(raw: bytes) -> Iterator[tuple[bytes, list[int]]]:
    """The text and its decodings, each with where in the text each of its bytes begins."""
    yield raw, list(range(len(raw) + 1))
    for escapes in _ESCAPES:
        view, positions = raw, list(range(len(raw) + 1))
        for _ in range(_DECODINGS):
            decoded, starts, end = bytearray(), [], 0
            for match in re.finditer(escapes, view, re.DOTALL):
                value = _unescape(match)
                decoded += view[end : match.start()] + value
                starts += positions[end : match.start()] + [positions[match.start()]] * len(value)
                end = match.end()
            if not end:
                break
            view, positions = bytes(decoded + view[end:]), starts + positions[end:]
            yield view, positions


def _unescape(match: re.Match[bytes]) -> bytes:
    text = match.group()
    if text[:1] == b"%":
        return bytes([int(text[1:], 16)])
    if text[:1] == b"&":
        return _HTML[text[1:-1]]
    if len(text) == 4:
        return bytes([int(text[2:], 16)])
    if len(text) == 6:
        return chr(int(text[2:], 16)).encode("utf-8", "surrogatepass")
    return _CONTROLS.get(text[1:], text[1:])


def _occurrences(view: bytes, needle: bytes) -> Iterator[int]:
    start = view.find(needle)
    while start >= 0:
        yield start
        start = view.find(needle, start + 1)


def _alone(view: bytes, start: int, stop: int) -> bool:
    before = start > 0 and view[start - 1] in _WORD
    return not before and not (stop < len(view) and view[stop] in _WORD)


def _cores(secret: bytes) -> Iterator[bytes]:
    """The base64 digits that hold nothing but the secret, for each of the three alignments."""
    for before in range(3):
        encoded = binascii.b2a_base64(b"\0" * before + secret, newline=False)
        first = -(-before * 8 // 6)
        last = (before + len(secret)) * 8 // 6
        yield encoded[first:last]
