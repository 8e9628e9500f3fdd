"""Attributes of a hostile tree: `.gitattributes`, a path, a file. Nothing raises or takes long.

The file's content comes last, after the path and the attributes, each with a line of NULs between.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random

from flow_fetcher.sources.git.attributes import Attributes
from flow_fetcher.sources.git.convert import WANTED, convert
from tests.fuzz.mutation import Change
from tests.fuzz.oracle import Violation
from tests.fuzz.targets import Target

_END = b"\0\n"
_MOST_SECONDS = 5.0


def run(data: bytes) -> bool:
    rules, _, rest = data.partition(_END)
    path, _, content = rest.partition(_END)
    start = time.process_time()
    found = Attributes({b"": rules, b"d": rules}, WANTED).of(path)
    lines = [line + b"\n" for line in content.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    pieces = convert(lambda: iter(filter(None, lines)), found, lambda: b"0" * 40)
    whole = convert(lambda: iter((content,) if content else ()), found, lambda: b"0" * 40)
    converted = content if pieces is None else b"".join(pieces)
    if converted != (content if whole is None else b"".join(whole)):
        raise Violation("line by line comes out another way than as a whole")
    if time.process_time() - start > _MOST_SECONDS:
        raise Violation("takes too long")
    if len(converted) > 50 * len(content) + 64:
        raise Violation(f"makes {len(converted)} bytes of {len(content)}")
    return bool(found)


_PATTERNS = [
    b"*", b"*.py", b"**/a", b"a/**", b"/d/*", b"[a-z]*", b"[!a]?", b"[[:alpha:]]*", b"d/f.py", b"[",
    b"[]a]", b"[a-", b"\\", b"\\*", b'"a b"', b'"\\101"', b"a/", b"!a", b"#a", b"*a" * 14 + b"*b",
    b"**/" * 9 + b"b", b"[attr]m", b"[attr]n", b"[attr]", b"/**/", b"**", b"?" * 9, b"[[:x:]]",
]  # fmt: skip
_STATES = [
    b"text", b"-text", b"!text", b"text=auto", b"eol=crlf", b"eol=lf", b"ident", b"crlf",
    b"binary", b"m", b"n", b"-m", b"working-tree-encoding=UTF-16",
    b"working-tree-encoding=UTF-16LE-BOM",
    b"working-tree-encoding=utf_7", b"working-tree-encoding=zlib", b"working-tree-encoding=../x",
    b"working-tree-encoding=cp037", b"working-tree-encoding=rot13", b"working-tree-encoding=oem",
    b"filter=lfs", b"=x", b"-", b"a=b=c", b"working-tree-encoding=iso2022_jp", b"\xff",
    b"crlf=input",
]  # fmt: skip
_PATHS = [b"a", b"d/f.py", b"d/a/b", b"a" * 60, b"a b", b"A", b"\xff"]
_CONTENTS = [
    b"a\nb\n", b"a\r\nb\n", b"$Id$\n", b"$Id: x $", b"$Id: x y $", b"$Id:", b"\0\n",
    b"\xef\xbb\xbfa\n",
    "\u00e9\U0001f600\n".encode(), b"\x1a", b"\r", b"$" * 50, b"$Id$" * 20,
]  # fmt: skip


def _line(rng: Random) -> bytes:
    states = [rng.choice(_STATES) for _ in range(rng.randint(1, 3))]
    return b" ".join([rng.choice(_PATTERNS), *states])


def mutate(data: bytes, rng: Random, change: Change) -> bytes:
    rules, _, rest = data.partition(_END)
    path, _, content = rest.partition(_END)
    lines = rules.split(b"\n")
    at = rng.randrange(len(lines))
    what = rng.randrange(7)
    if what <= 1:
        lines.insert(at, _line(rng))
    elif what == 2:
        lines[at] = change(lines[at], 600)
    elif what == 3:
        del lines[at]
    elif what == 4:
        path = rng.choice((rng.choice(_PATHS), change(path, 300)))
    else:
        content = rng.choice((rng.choice(_CONTENTS), change(content, 2000)))
    return _END.join([b"\n".join(lines), path, content])


def seeds() -> Iterator[tuple[str, bytes]]:
    for number in range(6):
        rng = Random(number)
        rules = b"\n".join(_line(rng) for _ in range(3))
        yield f"rules-{number}", _END.join([rules, rng.choice(_PATHS), rng.choice(_CONTENTS)])
    yield "honest", _END.join([b"* text=auto eol=crlf\n*.py ident\n", b"d/f.py", b"# $Id$\n"])


def target(name: str) -> Target:
    del name
    return Target(run, mutate, seeds)
