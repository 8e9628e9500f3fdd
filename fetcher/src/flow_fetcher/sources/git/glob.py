"""Git's patterns as regular expressions: see "PATTERN FORMAT" in gitignore(5)."""

from __future__ import annotations

import re

_SPECIAL = frozenset(b"*?[\\")
_STAR, _QUESTION, _OPEN, _CLOSE, _BACKSLASH, _SLASH, _DASH = b"*?[]\\/-"
_CLASSES = {
    b"alnum": rb"[0-9A-Za-z]",
    b"alpha": rb"[A-Za-z]",
    b"blank": rb"[ \t]",
    b"cntrl": rb"[\x00-\x1f\x7f]",
    b"digit": rb"[0-9]",
    b"graph": rb"[\x21-\x7e]",
    b"lower": rb"[a-z]",
    b"print": rb"[\x20-\x7e]",
    b"punct": rb"[!-/:-@\[-`{-~]",
    b"space": rb"[\t-\r ]",
    b"upper": rb"[A-Z]",
    b"xdigit": rb"[0-9A-Fa-f]",
}


class NoPatternError(ValueError):
    """No name can match this."""


def compile_pattern(pattern: bytes) -> tuple[re.Pattern[bytes], bool]:
    """The expression that a whole path must match, and whether only its last component counts.

    Raises:
        NoPatternError: It matches nothing.
    """
    if pattern.endswith(b"/"):
        raise NoPatternError("it is about directories")
    if b"/" not in pattern:
        return re.compile(_translate(pattern), re.DOTALL), True
    pattern = pattern.removeprefix(b"/")
    plain = next((at for at, byte in enumerate(pattern) if byte in _SPECIAL), len(pattern))
    # What stands before the first special character is compared as it is, and the rest by itself:
    # `a**` is `a` and then anything at all.
    expression = re.escape(pattern[:plain]) + _translate(pattern[plain:])
    return re.compile(expression, re.DOTALL), False


def _translate(pattern: bytes) -> bytes:
    """The expression for a pattern.

    Stars are never tried again once what follows them has matched: where a star takes as little as
    possible, the most is left for the rest, so that another try could match nothing more. Without
    this, a pattern of a dozen stars would take for ever.
    """
    groups: list[list[bytes]] = [[b""]]
    """Between two `**/`, what stands between two `*`."""
    rest = b""
    at = 0
    while at < len(pattern):
        byte = pattern[at]
        expression = b""
        if byte == _STAR:
            kind, at = _stars(pattern, at)
            if kind == _ANY:
                groups[-1].append(b"")
            elif kind == _FOLDERS:
                groups.append([b""])
            else:
                rest = rb".*"
        elif byte == _QUESTION:
            expression, at = rb"[^/]", at + 1
        elif byte == _OPEN:
            members, at = _bracket(pattern, at + 1)
            expression = b"[" + b"".join(b"\\x%02x" % member for member in sorted(members)) + b"]"
            expression = expression if members else rb"(?!)"
        else:
            at += byte == _BACKSLASH
            if at == len(pattern):
                raise NoPatternError("it ends in a backslash")
            expression, at = re.escape(pattern[at : at + 1]), at + 1
        groups[-1][-1] += expression
    first, *others = [_joined(pieces) for pieces in groups]
    for number, other in enumerate(others):
        last = number == len(others) - 1
        first += rb"(?:.*/)?" + other if last else rb"(?>(?:.*?/)??" + other + b")"
    return first + rest


def _joined(pieces: list[bytes]) -> bytes:
    """The expression for pieces with a star between each and the next."""
    first, *others = pieces
    if not others:
        return first
    *middle, last = others
    return first + b"".join(rb"(?>[^/]*?" + piece + b")" for piece in middle) + rb"[^/]*" + last


_ANY, _FOLDERS, _EVERYTHING = "*", "**/", "/**"


def _stars(pattern: bytes, start: int) -> tuple[str, int]:
    """What the stars here stand for, and where they end."""
    end = start
    while end < len(pattern) and pattern[end] == _STAR:
        end += 1
    after = pattern[end : end + 1]
    whole = (
        end - start > 1 and (start == 0 or pattern[start - 1] == _SLASH) and after in (b"", b"/")
    )
    if not whole:
        return _ANY, end
    return (_EVERYTHING, end) if after == b"" else (_FOLDERS, end + 1)


def _bracket(pattern: bytes, at: int) -> tuple[set[int], int]:
    """The bytes that a bracket stands for, and where it ends."""
    members: set[int] = set()
    negated = pattern[at : at + 1] in (b"!", b"^")
    at += negated
    before = -1
    first = True
    try:
        while first or pattern[at] != _CLOSE:
            first = False
            byte = pattern[at]
            if pattern[at : at + 2] == b"[:":
                end = pattern.index(b":]", at + 2)
                members.update(_class(pattern[at + 2 : end]))
                before, at = -1, end + 2
                continue
            if byte == _DASH and before >= 0 and pattern[at + 1] != _CLOSE:
                at += 1 + (pattern[at + 1] == _BACKSLASH)
                members.update(range(before, pattern[at] + 1))
                before, at = -1, at + 1
                continue
            at += byte == _BACKSLASH
            before = pattern[at]
            members.add(before)
            at += 1
    except (IndexError, ValueError):
        raise NoPatternError("a bracket is not closed") from None
    chosen = set(range(256)) - members if negated else members
    return chosen - {_SLASH}, at + 1


def _class(name: bytes) -> list[int]:
    if name not in _CLASSES:
        raise NoPatternError("it names an unknown class of characters")
    expression = re.compile(_CLASSES[name])
    return [byte for byte in range(256) if expression.match(bytes([byte]))]
