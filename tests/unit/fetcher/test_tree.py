"""The safe writer: nothing outside the tree, nothing through a link, nothing beyond the limits."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_fetcher.errors import SourceRejectedError
from flow_fetcher.links import check_links
from flow_fetcher.tree import Limits, TreeWriter


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[TreeWriter]:
    before = os.umask(0o022)
    with TreeWriter(tmp_path / "src") as writer:
        yield writer
    os.umask(before)


def test_progress(tmp_path: Path) -> None:
    """Each piece of a large file is told, and small files now and then."""
    told: list[tuple[int, int]] = []

    def progress(files: int, size: int) -> None:
        told.append((files, size))

    with TreeWriter(tmp_path / "src", progress=progress) as tree:
        with tree.create(b"large") as sink:
            sink.write(b"one")
            sink.write_at(b"four", 3)
        assert told == [(1, 3), (1, 7)]
        for number in range(100):
            tree.write(b"small%d" % number, b"1")
    assert told[2:] == [(32, 38), (64, 70), (96, 102)]


def test_files_and_modes(tree: TreeWriter) -> None:
    """Files are 0644 or 0755, directories 0755, whatever is in them."""
    tree.write(b"a/b/plain", b"1")
    tree.write(b"a/tool", b"2", executable=True)
    with tree.create(b"a/large") as sink:
        sink.write(b"one")
        sink.write(b"two")
    tree.directory(b"empty/inner")
    tree.finish()
    modes = {
        path.relative_to(tree.root).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in tree.root.rglob("*")
    }
    assert modes == {
        "a": 0o755,
        "a/b": 0o755,
        "a/b/plain": 0o644,
        "a/tool": 0o755,
        "a/large": 0o644,
        "empty": 0o755,
        "empty/inner": 0o755,
    }
    assert stat.S_IMODE(tree.root.stat().st_mode) == 0o755
    assert (tree.root / "a/large").read_bytes() == b"onetwo"
    assert (tree.files, tree.size) == (3, 8)


def test_adopt_and_copy(tree: TreeWriter, tmp_path: Path) -> None:
    """A staged file moves into the tree, and can be copied within it."""
    staged = tmp_path / "staged"
    staged.write_bytes(b"content")
    tree.adopt(b"d/adopted", staged, executable=True)
    tree.copy(b"d/adopted", b"copy")
    assert not staged.exists()
    assert (tree.root / "copy").read_bytes() == b"content"
    assert stat.S_IMODE((tree.root / "d/adopted").stat().st_mode) == 0o755
    assert stat.S_IMODE((tree.root / "copy").stat().st_mode) == 0o644
    assert (tree.files, tree.size) == (2, 14)


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"/etc/passwd",
        b"/x",
        b"..",
        b"../x",
        b"a/../x",
        b"a/./x",
        b".",
        b"a//x",
        b"a/",
        b"a\0b",
        b".git/config",
        b".GIT/config",
        b"a/.git",
        b"a/.Git/hooks/x",
        b".git./x",
        b".git /x",
        b".git . /x",
        b".git::$INDEX_ALLOCATION/x",
        b".git\\config",
        b"GIT~1/config",
        b"git~1",
        b".g\xe2\x80\x8cit/config",
        b"\xef\xbb\xbf.git/config",
        b"n" * 256,
        b"/".join([b"d"] * 300),
        b"/".join([b"n" * 200] * 30),
    ],
)
def test_unsafe_path(tree: TreeWriter, path: bytes) -> None:
    """A path that some file system would take for something else is refused, by every method."""
    for refused in (
        lambda: tree.write(path, b"x"),
        lambda: tree.create(path),
        lambda: tree.symlink(path, b"target"),
        lambda: tree.directory(path),
        lambda: tree.copy(b"ok", path),
    ):
        tree.write(b"ok", b"") if not (tree.root / "ok").exists() else None
        with pytest.raises(SourceRejectedError) as caught:
            refused()
        assert caught.value.remedy
        assert "\0" not in caught.value.message


@pytest.mark.parametrize(
    "path",
    [
        b".gitignore",
        b".gitmodules",
        b".github/workflows/ci.yml",
        b"git",
        b"a.git/x",
        b".git2",
        b"git~2",
        b"...",
        b"a b",
        b"-rf",
        b"caf\xc3\xa9",
        b"caf\xe9",
        b"line\nbreak",
        b"~",
        b"a\\b",
        b"n" * 255,
    ],
)
def test_unusual_path(tree: TreeWriter, path: bytes) -> None:
    """What git checks out, comes out."""
    tree.write(path, b"x")
    with open(os.path.join(os.fsencode(tree.root), path), "rb") as file:
        assert file.read() == b"x"


def test_nothing_is_written_twice(tree: TreeWriter, tmp_path: Path) -> None:
    """A path that is taken stays as it is, whichever way it is asked for again."""
    tree.write(b"a", b"first")
    tree.write(b"d/f", b"first")
    staged = tmp_path / "staged"
    staged.write_bytes(b"x")
    for refused in (
        lambda: tree.write(b"a", b"second"),
        lambda: tree.create(b"a"),
        lambda: tree.write(b"a/b", b"second"),
        lambda: tree.write(b"d", b"second"),
        lambda: tree.adopt(b"a", staged),
        lambda: tree.directory(b"a"),
        lambda: tree.copy(b"d/f", b"a"),
    ):
        with pytest.raises(SourceRejectedError, match="is there twice"):
            refused()
    assert (tree.root / "a").read_bytes() == b"first"


@pytest.mark.parametrize("order", ["link first", "file first"])
@pytest.mark.parametrize("path", [b"a", b"a/b"])
def test_a_link_and_a_file_in_one_place(tree: TreeWriter, order: str, path: bytes) -> None:
    """A link never stands in the way of a file: the tree is refused."""
    steps = [lambda: tree.symlink(b"a", b"elsewhere"), lambda: tree.write(path, b"x")]
    for step in steps if order == "link first" else reversed(steps):
        step()
    with pytest.raises(SourceRejectedError):
        tree.finish()
    assert not (tree.root / "elsewhere").exists()


@pytest.mark.parametrize(
    "links",
    [
        {b"a": b"b"},
        {b"a": b"not/there"},
        {b"d/a": b"../b"},
        {b"d/a": b".."},
        {b"a": b"."},
        {b"a": b"a"},
        {b"a": b"b", b"b": b"a"},
        {b"d/up": b"..", b"x": b"d/up/d/up/d"},
        {b"a": b"x/../y"},
    ],
)
def test_link_within_the_tree(links: dict[bytes, bytes]) -> None:
    """Links that stay inside are as git makes them, dangling and circular ones too."""
    check_links(links)


@pytest.mark.parametrize(
    "links",
    [
        {b"a": b".."},
        {b"a": b"../x"},
        {b"d/a": b"../../x"},
        {b"a": b"x/../../y"},
        {b"d/up": b"..", b"a": b"d/up/../x"},
        {b"a/b/up": b"..", b"x": b"a/b/up/../.."},
        {b"l": b"d/e", b"d/e/x": b"../../..", b"m": b"l/x"},
    ],
)
def test_link_out_of_the_tree(links: dict[bytes, bytes]) -> None:
    """A link that escapes is refused, through other links too."""
    with pytest.raises(SourceRejectedError, match="out of the tree"):
        check_links(links)


@pytest.mark.parametrize("target", [b"/etc/passwd", b"", b"a\0b", b"x" * 5000])
def test_bad_target(tree: TreeWriter, target: bytes) -> None:
    """A target that is absolute, empty or broken is refused at once."""
    with pytest.raises(SourceRejectedError):
        tree.symlink(b"a", target)


@pytest.mark.parametrize("name", [b".gitmodules", b".GITMODULES", b"gitmod~1", b"d/.gitmodules"])
def test_gitmodules_is_no_link(tree: TreeWriter, name: bytes) -> None:
    """As in git: the file that names submodules is never a link."""
    with pytest.raises(SourceRejectedError):
        tree.symlink(name, b"x")


def test_limits(tmp_path: Path) -> None:
    """Entries, bytes and depth are bounded; directories count too."""
    with TreeWriter(tmp_path / "a", Limits(entries=4)) as tree:
        tree.write(b"d/e/f", b"")
        tree.write(b"g", b"")
        with pytest.raises(SourceRejectedError, match="more than 4"):
            tree.write(b"h", b"")
    with TreeWriter(tmp_path / "b", Limits(size=10)) as tree:
        tree.write(b"a", b"12345")
        sink = tree.create(b"b")
        with sink, pytest.raises(SourceRejectedError, match="larger than 10 B"):
            sink.write(b"123456")
    with TreeWriter(tmp_path / "c", Limits(depth=2)) as tree:
        tree.write(b"a/b/c", b"")
        with pytest.raises(SourceRejectedError, match="deeper"):
            tree.write(b"a/b/c2/d", b"")


component = st.sampled_from([b"a", b"b", b"c", b"..", b".", b"", b".git", b"a\xe9", b"x" * 256])
paths = st.lists(component, min_size=1, max_size=4).map(b"/".join)
steps = st.lists(
    st.tuples(st.sampled_from(["write", "symlink", "directory", "create", "copy"]), paths, paths),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_nothing_ever_leaves_the_tree(actions: list[tuple[str, bytes, bytes]]) -> None:
    """Whatever is asked for, what is outside stays as it is, and no link leads there."""
    with tempfile.TemporaryDirectory() as directory:
        outside = Path(directory) / "a"
        outside.write_bytes(b"untouched")
        with TreeWriter(Path(directory) / "src") as tree:
            for kind, path, other in actions:
                try:
                    if kind == "write":
                        tree.write(path, b"x")
                    elif kind == "symlink":
                        tree.symlink(path, other)
                    elif kind == "directory":
                        tree.directory(path)
                    elif kind == "create":
                        with tree.create(path) as sink:
                            sink.write(b"y")
                    else:
                        tree.copy(b"a", path)
                except (SourceRejectedError, FileNotFoundError, IsADirectoryError):
                    pass
            with contextlib.suppress(SourceRejectedError):
                tree.finish()
        assert sorted(os.listdir(directory)) == ["a", "src"]
        assert outside.read_bytes() == b"untouched"
        root = os.fsencode(os.path.realpath(tree.root))
        for where, directories, files in os.walk(root):
            for name in directories + files:
                path = os.path.join(where, name)
                if os.path.islink(path) and os.path.exists(path):
                    assert (os.path.realpath(path) + b"/").startswith(root + b"/")
