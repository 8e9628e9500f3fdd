"""What git's checkout makes of a file's content, by its attributes and with default settings.

Line ends, `$Id$` and the encoding in the work tree: see gitattributes(5). Filters such as git-lfs
are settings of a user, who is not there: pointers stay pointers. Nothing of that reaches beyond a
line, so content comes and goes in pieces that end with one.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Mapping

from flow_fetcher.sources.git.attributes import Value

WANTED = frozenset({b"text", b"crlf", b"eol", b"ident", b"working-tree-encoding"})

Pieces = Iterator[bytes]

_NO_ENCODINGS = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined"})
_BOMS = {b"UTF16LEBOM": ("utf-16-le", b"\xff\xfe"), b"UTF16BEBOM": ("utf-16-be", b"\xfe\xff")}
_CONTROLS = bytes({*range(32), 127} - set(b"\b\t\n\r\x0c\x1b"))
"""What text does not hold; line ends are counted for themselves."""


def convert(
    read: Callable[[], Pieces], attributes: Mapping[bytes, Value], name_of: Callable[[], bytes]
) -> Pieces | None:
    """The content as it comes to lie in the work tree; None for as it is.

    Args:
        read: Begins to read the content anew, in pieces of whole lines.
        attributes: The attributes of its path.
        name_of: Computes the hexadecimal name of the blob.
    """
    steps: list[Callable[[Pieces], Pieces]] = []

    def changed() -> Pieces:
        pieces = read()
        for step in steps:
            pieces = step(pieces)
        return pieces

    if attributes.get(b"ident") is True and any(b"$Id" in piece for piece in read()):
        steps.append(lambda pieces: (expand_ident(piece, name_of) for piece in pieces))
    automatic = _wants_crlf(attributes)
    if automatic is not None and _gets_crlf(changed(), automatic=automatic):
        steps.append(lambda pieces: (_with_crlf(piece) for piece in pieces))
    encoding = attributes.get(b"working-tree-encoding")
    if isinstance(encoding, bytes) and encoding and (name := _encoding(encoding)):
        try:
            for _ in _encoded(changed(), *name):
                pass
        except (UnicodeError, ValueError):
            pass
        else:
            steps.append(lambda pieces: _encoded(pieces, *name))
    return changed() if steps else None


def _wants_crlf(attributes: Mapping[bytes, Value]) -> bool | None:
    """None for no; otherwise whether only what looks like text is meant."""
    for name in (b"text", b"crlf"):
        text = attributes.get(name)
        if text in (True, False, b"input", b"auto"):
            break
    else:
        text = None
    if text is False or attributes.get(b"eol") != b"crlf":
        return None
    return text == b"auto"


def _gets_crlf(pieces: Pieces, *, automatic: bool) -> bool:
    """Whether line feeds become CR LF: not where all are, nor automatically in what is no text."""
    size = line_feeds = pairs = returns = odd = 0
    last, has_nul = b"", False
    for piece in pieces:
        size += len(piece)
        line_feeds += piece.count(b"\n")
        pairs += piece.count(b"\r\n")
        returns += piece.count(b"\r")
        if automatic:
            odd += len(piece) - len(piece.translate(None, _CONTROLS))
            has_nul = has_nul or b"\0" in piece
        last = piece[-1:]
    if line_feeds == pairs:
        return False
    if not automatic:
        return True
    plain = size - odd - line_feeds - returns
    # Ctrl-Z at the end is how DOS ended texts.
    odd -= last == b"\x1a"
    return not (returns or has_nul or plain >> 7 < odd)


def _with_crlf(piece: bytes) -> bytes:
    return piece.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def expand_ident(data: bytes, name_of: Callable[[], bytes]) -> bytes:
    """The content with the blob's name in each `$Id$`."""
    parts, at, name = [], 0, b""
    while (dollar := data.find(b"$", at)) >= 0:
        parts.append(data[at : dollar + 1])
        at = dollar + 1
        if data[at : at + 2] != b"Id":
            continue
        if data[at + 2 : at + 3] == b":":
            end = data.find(b"$", at + 3)
            if end < 0:
                break
            inner = data[at + 3 : end]
            space = inner.find(b" ", 1)
            # Another system's keyword, or none at all, is left alone.
            if b"\n" in inner or 0 <= space < len(inner) - 1:
                continue
        elif data[at + 2 : at + 3] == b"$":
            end = at + 2
        else:
            continue
        name = name or name_of()
        parts.append(b"Id: " + name + b" $")
        at = end + 1
    return b"".join([*parts, data[at:]])


def _encoding(value: bytes) -> tuple[str, bytes] | None:
    """The codec for an encoding, and the mark that goes before; None where there is none, or where
    nothing is to be done."""
    plain = value.upper().replace(b"-", b"").replace(b"_", b"")
    name, mark = _BOMS.get(plain, (value.decode("ascii", "replace"), b""))
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):
        return None
    known = codec.incrementalencoder and getattr(codec, "_is_text_encoding", True)
    return (name, mark) if known and codec.name not in ("utf-8", *_NO_ENCODINGS) else None


def _encoded(pieces: Pieces, name: str, mark: bytes) -> Pieces:
    """UTF-8 in another encoding.

    Raises:
        UnicodeError, ValueError: It is none, or cannot be had in that encoding.
    """
    encoder = None
    for piece in pieces:
        encoder = encoder or codecs.getincrementalencoder(name)()
        yield mark + encoder.encode(piece.decode())
        mark = b""
    if encoder:
        yield encoder.encode("", final=True)
