"""Which attributes the `.gitattributes` files of a tree give a path: see gitattributes(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from flow_fetcher.sources.git.glob import NoPatternError, compile_pattern

FILE = b".gitattributes"

_BLANK = b" \t\r\n"
_MACRO = b"[attr]"
_LONGEST_LINE = 2048
_LARGEST_FILE = 100 << 20
_NAME = re.compile(rb"[A-Za-z0-9_.][-A-Za-z0-9_.]*")
_ESCAPES = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_ESCAPES |= {b"v": b"\v", b"\\": b"\\", b'"': b'"'}
_QUOTED = re.compile(rb'"((?:[^"\\]|\\(?:[abfnrtv\\"]|[0-3][0-7]{2}))*)"')
_ESCAPE = re.compile(rb"\\([abfnrtv\\\"]|[0-3][0-7]{2})")

Value = bool | bytes | None
"""Set, unset (`-name`), a text, or None for `!name`: as if nothing had been said."""

States = list[tuple[bytes, Value]]
_Rule = tuple[re.Pattern[bytes], bool, States]


class Attributes:
    """The attributes of the paths of one tree.

    Args:
        files: Directory → content of its `.gitattributes`; the root is empty.
        wanted: The attributes that anybody will ask for.
    """

    def __init__(self, files: Mapping[bytes, bytes], wanted: frozenset[bytes]) -> None:
        self._macros: dict[bytes, States] = {
            b"binary": [(b"diff", False), (b"merge", False), (b"text", False)]
        }
        self._rules: dict[bytes, list[_Rule]] = {}
        for directory in sorted(files):
            # The last rule that matches wins.
            self._rules[directory] = self._read(files[directory], directory)[::-1]
        telling = self._telling(wanted)
        self._rules = {
            directory: rules
            for directory, rules in self._rules.items()
            if any(name in telling for _, _, states in rules for name, _ in states)
        }

    def directories(self) -> list[bytes]:
        """The directories below which some path may have an attribute that is wanted."""
        return list(self._rules)

    def of(self, path: bytes) -> dict[bytes, Value]:
        """The attributes of a path."""
        found: dict[bytes, Value] = {}
        directory, _, name = path.rpartition(b"/")
        while True:
            below = path[len(directory) + 1 :] if directory else path
            for pattern, last_only, states in self._rules.get(directory, ()):
                if pattern.fullmatch(name if last_only else below):
                    self._fill(found, states)
            if not directory:
                return found
            directory = directory.rpartition(b"/")[0]

    def _telling(self, wanted: frozenset[bytes]) -> set[bytes]:
        """The wanted attributes, and the macros that stand for one of them, directly or not."""
        holders: dict[bytes, list[bytes]] = {}
        for macro, states in self._macros.items():
            for name, _ in states:
                holders.setdefault(name, []).append(macro)
        telling, todo = set(wanted), list(wanted)
        while todo:
            for macro in holders.get(todo.pop(), ()):
                if macro not in telling:
                    telling.add(macro)
                    todo.append(macro)
        return telling

    def _fill(self, found: dict[bytes, Value], states: States) -> None:
        # The order is that of a recursion, which macros of macros could make too deep.
        todo = list(states)
        while todo:
            name, value = todo.pop()
            if name not in found:
                found[name] = value
                if value is True:
                    todo += self._macros.get(name, ())

    def _read(self, content: bytes, directory: bytes) -> list[_Rule]:
        rules: list[_Rule] = []
        if len(content) >= _LARGEST_FILE:
            return rules
        # A byte order mark belongs to the first line: git skips it in files, not in its index.
        for line in content.partition(b"\0")[0].split(b"\n"):
            if len(line) >= _LONGEST_LINE:
                continue
            pattern, rest, quoted = _pattern(line.strip(_BLANK))
            if not pattern or (pattern.startswith(b"#") and not quoted):
                continue
            macro = pattern.startswith(_MACRO) and len(pattern) > len(_MACRO)
            states = list(_states(rest))
            if None in states:
                continue
            known = [state for state in states if state is not None]
            if macro:
                name = pattern.removeprefix(_MACRO)
                if not directory and _NAME.fullmatch(name):
                    self._macros[name] = known
                continue
            try:
                if not pattern.startswith(b"!"):
                    rules.append((*compile_pattern(pattern), known))
            except NoPatternError:
                continue
        return rules


def _pattern(line: bytes) -> tuple[bytes, bytes, bool]:
    """The pattern of a line, what follows it, and whether it was in quotes."""
    quoted = _QUOTED.match(line)
    if quoted:
        return _ESCAPE.sub(_unescape, quoted[1]), line[quoted.end() :], True
    end = next((at for at, byte in enumerate(line) if byte in _BLANK), len(line))
    return line[:end], line[end:], False


def _unescape(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return _ESCAPES.get(code) or bytes([int(code, 8)])


def _states(text: bytes) -> Iterator[tuple[bytes, Value] | None]:
    """The attributes of a line; None for one whose name is none."""
    for token in text.split():
        name, equals, value = token.partition(b"=")
        sign, name = (name[:1], name[1:]) if name[:1] in (b"-", b"!") else (b"", name)
        if not _NAME.fullmatch(name):
            yield None
        elif sign:
            yield name, False if sign == b"-" else None
        else:
            yield name, value if equals else True
