"""What git's checkout makes of a file's content, by its attributes and with default settings.

Line ends, `$Id$` and the encoding in the work tree: see gitattributes(5). Filters such as git-lfs
are settings of a user, who is not there: pointers stay pointers.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping

from flow_fetcher.sources.git.attributes import Value

WANTED = frozenset({b"text", b"crlf", b"eol", b"ident", b"working-tree-encoding"})

_NO_ENCODINGS = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined"})
_BOMS = {b"UTF16LEBOM": ("utf-16-le", b"\xff\xfe"), b"UTF16BEBOM": ("utf-16-be", b"\xfe\xff")}
_CONTROLS = bytes({*range(32), 127} - set(b"\b\t\n\r\x0c\x1b"))
"""What text does not hold; line ends are counted for themselves."""


def convert(
    data: bytes, attributes: Mapping[bytes, Value], name_of: Callable[[bytes], bytes]
) -> bytes:
    """The content as it comes to lie in the work tree.

    Args:
        data: The content of the blob.
        attributes: The attributes of its path.
        name_of: Computes the hexadecimal name of a blob.
    """
    result = data
    if attributes.get(b"ident") is True:
        result = expand_ident(result, lambda: name_of(data))
    automatic = _wants_crlf(attributes)
    if automatic is not None:
        result = to_crlf(result, automatic=automatic)
    encoding = attributes.get(b"working-tree-encoding")
    if isinstance(encoding, bytes) and encoding and result:
        result = encode(result, encoding)
    return result


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


def to_crlf(data: bytes, *, automatic: bool) -> bytes:
    """The content with CR LF for LF, unless it must stay as it is."""
    line_feeds, pairs = data.count(b"\n"), data.count(b"\r\n")
    if line_feeds == pairs:
        return data
    if automatic and (pairs or b"\r" in data or _looks_binary(data)):
        return data
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _looks_binary(data: bytes) -> bool:
    odd = len(data) - len(data.translate(None, _CONTROLS))
    lines = data.count(b"\n") + data.count(b"\r")
    plain = len(data) - odd - lines
    # Ctrl-Z at the end is how DOS ended texts.
    odd -= data.endswith(b"\x1a")
    return b"\0" in data or plain >> 7 < odd


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


def encode(data: bytes, encoding: bytes) -> bytes:
    """The content in another encoding than UTF-8; as it is where that cannot be."""
    plain = encoding.upper().replace(b"-", b"").replace(b"_", b"")
    name, mark = _BOMS.get(plain, (encoding.decode("ascii", "replace"), b""))
    try:
        codec = codecs.lookup(name)
        if codec.name in ("utf-8", *_NO_ENCODINGS) or not getattr(codec, "_is_text_encoding", True):
            return data
        return mark + codec.encode(data.decode())[0]
    except (LookupError, UnicodeError, ValueError):
        return data
