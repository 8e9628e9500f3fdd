"""Line ends, keywords and encodings come out as git's own checkout gives them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.integration.fetcher.conftest import Fetcher
from tests.integration.fetcher.test_git_trees import compare
from tests.servers.git import GitServer
from tests.servers.repository import Repository

TEXTS = {
    "lf": b"one\ntwo\n",
    "crlf": b"one\r\ntwo\r\n",
    "mixed": b"one\r\ntwo\nthree\n",
    "lonely": b"one\rtwo\nthree\n",
    "binary": b"one\n\0two\n",
    "odd": b"\x01\x02\n" * 9,
    "mostly": b"x" * 400 + b"\x01\n",
    "dos": b"one\n\x1a",
    "unended": b"one\ntwo",
    "blank": b"\n\n\n",
    "empty": b"",
    "ident": b"$Id$ and $Id: 0123 $ and $Id: a b $ $Id$\n$Id:\n$ $Idx$ $Id:x$$Id$ $Id: $ $Id",
    "accents": "h\u00e9llo\nw\u00f6rld\n".encode(),
    "cjk": "\u65e5\u672c\n".encode(),
    "broken": b"\xff\xfe\n",
}
STATES = [
    "text", "-text", "!text", "text=auto", "text=input", "text=odd", "crlf", "-crlf", "crlf=input",
    "eol=crlf", "eol=lf", "-eol", "eol", "ident", "-ident", "ident=x", "binary", "-binary",
    "working-tree-encoding=UTF-16", "working-tree-encoding=UTF-16LE-BOM",
    "working-tree-encoding=UTF-16BE", "working-tree-encoding=ISO-8859-1",
    "working-tree-encoding=UTF-8", "working-tree-encoding=SHIFT-JIS",
    "working-tree-encoding=no-such", "working-tree-encoding=UTF-32", "filter=lfs", "export-ignore",
    "crlfy", "-crlfy", "diff=python", "-bad name", "=x",
]  # fmt: skip
PATTERNS = [
    "*", "*.a", "*.b", "/*.a", "d0/*", "d0/**", "d0/**/x*", "**/d1/*", "d*/lf.a", "lf.*",
    "/d0/lf.a",
    "[a-m]*", "[!a-m]*", "[[:lower:]]*.b", "?f.a", "d0", "d0/", "!lf.a", "\\lf.a", "l\\f.*",
    "d0/d1**",
    '"lf.a"', '"l\\146.a"', "**", "d0/d1/*.[ab]", "[", "[]a]*", "[^]l]*", "cr*/x", "**/*.a", "a/**",
    "# no comment", "[attr]x",
]  # fmt: skip


def write(repository: Repository, directory: str) -> None:
    for name, content in TEXTS.items():
        for end in "ab":
            repository.write(f"{directory}{name}.{end}", content)


def commit(repository: Repository, files: dict[str, str]) -> None:
    """Commit blobs as they are: `git add` would convert them."""
    for name, content in files.items():
        repository.write(f"{name}.gitattributes", content)
    names = repository.git("ls-files", "-o", "-z").split("\0")
    info = ""
    for name in filter(None, names):
        path = f"{repository.work}/{name}"
        blob = repository.git("hash-object", "-w", "--no-filters", path)
        info += f"100644 {blob}\t{name}\n"
    repository.git("update-index", "--add", "--index-info", stdin=info.encode())
    repository.git("commit", "-q", "-m", "as it is")
    repository.push()


@pytest.mark.parametrize("state", STATES)
def test_every_state(fetcher: Fetcher, tmp_path: Path, state: str) -> None:
    """Each attribute with each kind of content."""
    repository = Repository(tmp_path / "git")
    write(repository, "")
    commit(repository, {"": f"[attr]crlfy text eol=crlf\n*.a {state}\n*.b eol=crlf {state}\n"})
    compare(fetcher, repository)


@pytest.mark.parametrize("seed", range(16))
def test_random_attributes(fetcher: Fetcher, tmp_path: Path, seed: int) -> None:
    """Any patterns with any states, in any directory, in any order."""
    generator = random.Random(seed)
    repository = Repository(tmp_path / "git")
    directories = ["", "d0/", "d0/d1/", "d1/d0/"]
    for directory in directories:
        write(repository, directory)
    files = {}
    for directory in directories:
        lines = ["[attr]crlfy text eol=crlf"] if generator.random() < 0.5 else []
        for _ in range(generator.randrange(0, 7)):
            states = " ".join(generator.sample(STATES, generator.randrange(1, 4)))
            lines.append(f"{generator.choice(PATTERNS)} {states}")
        end = generator.choice(["\n", "\r\n"])
        files[directory] = generator.choice(["", "\ufeff"]) + end.join(lines) + end
    commit(repository, files)
    compare(fetcher, repository)


def test_attributes_that_are_a_link(fetcher: Fetcher, tmp_path: Path) -> None:
    """A link of that name has no say."""
    repository = Repository(tmp_path / "git")
    write(repository, "")
    repository.write("other", "* eol=crlf\n")
    (repository.work / ".gitattributes").symlink_to("other")
    repository.git("add", "-A")
    repository.git("commit", "-q", "-m", "x")
    repository.push()
    compare(fetcher, repository)


def test_deltas_and_copies_of_converted_files(fetcher: Fetcher, tmp_path: Path) -> None:
    """What is converted is also what other objects build on; they get the original."""
    repository = Repository(tmp_path / "git")
    body = "".join(f"line {n}\n" for n in range(500))
    for number in range(20):
        repository.write(f"{number}.txt", body.replace(f"line {number * 9}\n", "changed\n"))
        repository.write(f"{number}.py", body.replace(f"line {number * 7}\n", "changed\n"))
    repository.write("copy.txt", body)
    repository.write("copy.py", body)
    commit(repository, {"": "*.txt eol=crlf ident\n"})
    compare(fetcher, repository)


@pytest.mark.parametrize(
    "state", ["eol=crlf ident", "text=auto eol=crlf", "text working-tree-encoding=UTF-16"]
)
def test_large_files(fetcher: Fetcher, tmp_path: Path, state: str) -> None:
    """What does not fit into memory is converted line by line, and decided upon as a whole."""
    repository = Repository(tmp_path / "git")
    lines = "".join(
        f"line {number} of h\u00e9llo w\u00f6rld\n" for number in range(700_000)
    ).encode()
    ends = {"plain": b"$Id$\n", "late": b"one\r\n", "binary": b"\0", "broken": b"\xff\n"}
    for name, end in ends.items():
        repository.write(name, lines + end)
    commit(repository, {"": f"* {state}\n"})
    compare(fetcher, repository)


def test_line_that_is_too_long(fetcher: Fetcher, tmp_path: Path) -> None:
    """A file with one is left as it is, and named."""
    repository = Repository(tmp_path / "git")
    content = b"one\n" + b"x" * (10 << 20) + b"\n"
    repository.write("long.txt", content)
    repository.write("short.txt", b"one\n")
    commit(repository, {"": "*.txt eol=crlf\n"})
    with GitServer(repository.bare.parent) as server:
        result = fetcher({"type": "git", "git": {"url": server.url + repository.path}})
    assert "long.txt has a line too long" in result.log
    assert result.files()["long.txt"] == content
    assert result.files()["short.txt"] == b"one\r\n"


def test_sha256_ident(fetcher: Fetcher, tmp_path: Path) -> None:
    """The keyword has the blob's name, however that is computed."""
    repository = Repository(tmp_path / "git", algorithm="sha256")
    write(repository, "")
    commit(repository, {"": "* ident\n"})
    compare(fetcher, repository)
