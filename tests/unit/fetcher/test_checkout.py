"""Packs become trees in any order of entries and any size of pieces; bad ones become errors."""

from __future__ import annotations

import contextlib
import io
import random
import tempfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_fetcher.errors import FetchError, RevisionNotFoundError, SourceRejectedError
from flow_fetcher.log import Log
from flow_fetcher.redact import Redactor
from flow_fetcher.sources.git import objects, pack
from flow_fetcher.sources.git.checkout import Checkout
from flow_fetcher.sources.git.pack import BLOB, COMMIT, OFS_DELTA, REF_DELTA, TREE
from flow_fetcher.tree import Limits, TreeWriter
from tests.unit.fetcher.packs import Pack, check_out, commit, delta, name, tree, varint

FILE, EXECUTABLE, LINK, DIRECTORY, MODULE = "100644", "100755", "120000", "40000", "160000"


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything of some size goes to disk: held objects, large ones, nothing is cached."""
    for module in (pack, objects):
        monkeypatch.setattr(module, "LARGE", 200)
    monkeypatch.setattr(objects, "_HELD_IN_MEMORY", 50)
    monkeypatch.setattr(objects, "_CACHED", 100)


def small() -> tuple[Pack, bytes, dict[str, bytes]]:
    made = Pack()
    one, two = made.blob(b"one"), made.blob(b"")
    inner = made.tree((FILE, "x", one), (EXECUTABLE, "y", two))
    root = made.tree((FILE, "a", one), (DIRECTORY, "d", inner))
    return made, made.commit(root), {"a": b"one", "d/x": b"one", "d/y": b""}


@pytest.mark.parametrize("chunk", [1, 2, 19, 64, 10_000])
def test_pieces_of_any_size(tmp_path: Path, chunk: int) -> None:
    """Where the network cuts the stream does not matter."""
    made, wanted, expected = small()
    assert check_out(tmp_path, made.bytes(), wanted, chunk=chunk) == expected


def test_every_truncation(tmp_path: Path) -> None:
    """A stream that ends anywhere before its end is an error that may pass."""
    made, wanted, _ = small()
    raw = made.bytes()
    for size in range(len(raw)):
        with pytest.raises(FetchError) as caught:
            check_out(tmp_path / str(size), raw[:size], wanted)
        assert caught.value.transient


def test_every_truncation_of_a_delta_by_name(tmp_path: Path) -> None:
    """Also a stream that ends within the name of a delta's base ends the fetch."""
    made = Pack()
    old, new = b"the old text of a file", b"the old text of a file, and more"
    base = made.blob(old)
    made.ref_delta(base, old, new)
    wanted = made.commit(made.tree(("100644", "f", name(BLOB, new))))
    raw = made.bytes()
    for size in range(len(raw)):
        with pytest.raises(FetchError) as caught:
            check_out(tmp_path / str(size), raw[:size], wanted)
        assert caught.value.transient


def test_every_wrong_byte(tmp_path: Path) -> None:
    """A pack with any one byte changed is refused, in words."""
    made, wanted, _ = small()
    raw = made.bytes()
    for at in range(len(raw)):
        wrong = raw[:at] + bytes([raw[at] ^ 0x41]) + raw[at + 1 :]
        with pytest.raises(FetchError):
            check_out(tmp_path / str(at), wrong, wanted)


def test_deltas_of_every_kind(tmp_path: Path) -> None:
    """By offset and by name, of deltas, before and after their bases."""
    texts = [b"the text %d, and what follows is long enough to copy\n" % n * 5 for n in range(6)]
    made = Pack()
    made.ref_delta(name(BLOB, texts[1]), texts[1], texts[2])
    waiting = made.ref_delta(name(BLOB, texts[0]), texts[0], texts[1])
    made.ofs_delta(waiting, texts[1], texts[3])
    base = made.add(BLOB, texts[0])
    again = made.ofs_delta(base, texts[0], texts[4])
    made.ofs_delta(again, texts[4], texts[5])
    root = made.tree(*((FILE, f"f{n}", name(BLOB, text)) for n, text in enumerate(texts)))
    wanted = made.commit(root)
    assert check_out(tmp_path, made.bytes(), wanted) == {f"f{n}": t for n, t in enumerate(texts)}


@pytest.mark.usefixtures("tight")
def test_deltas_that_fill_the_disk(tmp_path: Path) -> None:
    """A few bytes that unpack to more than there is room for are refused before that is written."""
    made, size = Pack(), 1000
    at = made.add(BLOB, bytes(size))
    for _ in range(3):
        copied = min(size, 0xFFFF)
        copies = (bytes([0xB0]) + copied.to_bytes(2, "little")) * 100
        at = made.add(OFS_DELTA, varint(size) + varint(100 * copied) + copies, base=at)
        size = 100 * copied
    scratch = pack.Scratch(tmp_path / "scratch", room=1 << 20)
    scratch.directory.mkdir()
    log = Log(Redactor(), stream=io.StringIO())
    with (
        TreeWriter(tmp_path / "src") as writer,
        pytest.raises(SourceRejectedError, match="too large"),
    ):
        Checkout("0" * 40, "commit x", writer, scratch, log).run(iter([made.bytes()]))
    assert sum(path.stat().st_size for path in scratch.directory.iterdir()) <= 1 << 20


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False), st.booleans(), st.integers(1, 5000))
def test_any_order_of_entries(generator: random.Random, small_memory: bool, chunk: int) -> None:
    """Trees before, between or after blobs and deltas: the tree is the same."""
    blobs = [bytes([97 + n]) * generator.randrange(0, 600) for n in range(6)]
    expected: dict[str, bytes] = {}
    contents: list[tuple[int, bytes]] = [(BLOB, blob) for blob in blobs]
    top: list[tuple[str, str | bytes, bytes]] = []
    for number in range(4):
        chosen = generator.sample(blobs, 3)
        inner = tree(*((FILE, f"f{n}", name(BLOB, blob)) for n, blob in enumerate(chosen)))
        contents.append((TREE, inner))
        top.append((DIRECTORY, f"d{number}", name(TREE, inner)))
        top.append((DIRECTORY, f"e{number}", name(TREE, inner)))
        for n, blob in enumerate(chosen):
            expected[f"d{number}/f{n}"] = expected[f"e{number}/f{n}"] = blob
    contents.append((TREE, tree(*top)))
    contents.append((COMMIT, commit(name(*contents[-1]))))
    wanted = name(*contents[-1])
    generator.shuffle(contents)
    made = Pack()
    for number, (kind, data) in enumerate(contents):
        bases = [(k, d) for k, d in contents[:number] + contents[number + 1 :] if k == kind]
        # A base by name must not lead back here: only what stands without a delta is one.
        if bases and number % 3 == 0:
            free = [d for at, (k, d) in enumerate(contents) if k == kind and at % 3]
            if free and data not in free:
                base = generator.choice(free)
                made.ref_delta(name(kind, base), base, data)
                continue
        made.add(kind, data)
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        if small_memory:
            patch.setattr(pack, "LARGE", 200)
            patch.setattr(objects, "LARGE", 200)
            patch.setattr(objects, "_HELD_IN_MEMORY", 50)
            patch.setattr(objects, "_CACHED", 100)
        if small_memory and any(len(data) > 200 for kind, data in contents if kind != BLOB):
            patch.setattr(pack, "LARGE", 1000)
            patch.setattr(objects, "LARGE", 1000)
        assert check_out(Path(directory), made.bytes(), wanted, chunk=chunk) == expected


@pytest.mark.usefixtures("tight")
def test_large_objects_and_deltas_go_through_files(tmp_path: Path) -> None:
    """Large bases, deltas and results, held, duplicated and built upon, come out right."""
    generator = random.Random(3)
    large = generator.randbytes(1000)
    longer, rest = large + generator.randbytes(700), large[:150]
    made = Pack()
    base = made.add(BLOB, large)
    longer_at = made.ofs_delta(base, large, longer)
    made.ofs_delta(longer_at, longer, rest)
    made.blob(large)
    root = tree((FILE, "a", name(BLOB, large)), (EXECUTABLE, "b", name(BLOB, large)))
    inner = tree((FILE, "c", name(BLOB, longer)), (FILE, "e", name(BLOB, rest)))
    made.add(TREE, inner)
    root += tree((DIRECTORY, "d", name(TREE, inner)))
    made.add(TREE, root)
    wanted = made.commit(name(TREE, root))
    files = check_out(tmp_path, made.bytes(), wanted)
    assert files == {"a": large, "b": large, "d/c": longer, "d/e": rest}
    assert (tmp_path / "src/b").stat().st_mode & 0o100
    assert not (tmp_path / "src/a").stat().st_mode & 0o100


def test_a_link_and_a_file_with_one_content(tmp_path: Path) -> None:
    """One object can be a file here and a link's target there, in either order."""
    made = Pack()
    target = made.blob(b"b")
    root = made.tree((LINK, "a", target), (FILE, "b", target), (LINK, "c", target))
    wanted = made.commit(root)
    files = check_out(tmp_path, made.bytes(), wanted)
    assert files == {"a": b"b", "b": b"b", "c": b"b"}
    assert (tmp_path / "src/a").readlink() == Path("b")
    assert not (tmp_path / "src/b").is_symlink()


def test_submodule_is_an_empty_directory(tmp_path: Path) -> None:
    """As with git's checkout; its commit is not looked for."""
    made = Pack()
    wanted = made.commit(made.tree((MODULE, "vendor", b"\1" * 20)))
    assert check_out(tmp_path, made.bytes(), wanted) == {}
    assert list((tmp_path / "src").iterdir()) == [tmp_path / "src/vendor"]


def test_old_mode(tmp_path: Path) -> None:
    """Group-writable files of old repositories are plain files."""
    made = Pack()
    blob = made.blob(b"1")
    wanted = made.commit(made.tree(("100664", "a", blob)))
    assert check_out(tmp_path, made.bytes(), wanted) == {"a": b"1"}
    assert (tmp_path / "src/a").stat().st_mode & 0o777 == 0o644


# --- packs that lie -----------------------------------------------------------------------------


def bad(directory: Path, made: Pack, wanted: bytes = b"\0" * 20) -> FetchError:
    with pytest.raises(FetchError) as caught:
        check_out(directory, made.bytes(), wanted)
    return caught.value


@pytest.mark.parametrize("size", [0, 1, 4, 1 << 20, 10 << 20, 1 << 50])
def test_wrong_size(tmp_path: Path, size: int) -> None:
    """An object that inflates to something else than it says is refused before it grows."""
    made = Pack()
    made.add(BLOB, b"12345" * 1000, size=size)
    assert bad(tmp_path, made).reason in ("SourceRejected", "SourceUnreachable")


def test_inflation_bomb(tmp_path: Path) -> None:
    """A gigabyte that says it is small is not inflated."""
    made = Pack()
    bomb = zlib.compressobj(9)
    raw = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(64)) + bomb.flush()
    made.add(BLOB, b"", size=100, raw=raw)
    assert "larger than it says" in bad(tmp_path, made).message


@pytest.mark.parametrize("kind", [0, 5])
def test_unknown_kind(tmp_path: Path, kind: int) -> None:
    """There are no such objects."""
    made = Pack()
    made.add(kind, b"x")
    assert "unknown kind" in bad(tmp_path, made).message


def test_not_a_pack(tmp_path: Path) -> None:
    """Another version, or another thing altogether."""
    assert "does not begin" in bad(tmp_path / "a", Pack(version=4)).message
    with pytest.raises(SourceRejectedError, match="does not begin"):
        check_out(tmp_path / "b", b"<html>this is a web page</html>", b"\0" * 20)


def test_more_and_fewer_entries_than_announced(tmp_path: Path) -> None:
    """The count is believed, and what follows it refused."""
    for count in (1, 3):
        made = Pack(count=count)
        made.blob(b"1")
        made.blob(b"2")
        assert bad(tmp_path / str(count), made)


def test_delta_that_builds_on_nothing(tmp_path: Path) -> None:
    """A base that never comes, at an offset where nothing begins, or the delta itself."""
    made = Pack()
    made.add(REF_DELTA, delta(b"x", b"y"), base=b"\7" * 20)
    made.commit(made.tree())
    assert "not there" in bad(tmp_path / "a", made, name(COMMIT, commit(name(TREE, b"")))).message
    for distance in (0, 1, 13, 5000):
        made = Pack()
        made.add(BLOB, b"x")
        made.add(OFS_DELTA, delta(b"x", b"y"), base=made.end - distance)
        assert bad(tmp_path / f"b{distance}", made).reason == "SourceRejected"


def test_two_deltas_that_build_on_each_other(tmp_path: Path) -> None:
    """A circle never closes: the names would have to be known beforehand."""
    made = Pack()
    made.add(REF_DELTA, delta(b"a", b"b"), base=name(BLOB, b"b"))
    made.add(REF_DELTA, delta(b"b", b"a"), base=name(BLOB, b"a"))
    wanted = made.commit(made.tree())
    assert "not there" in bad(tmp_path, made, wanted).message


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"\x80",
        b"\xff" * 12,
        varint(3) + varint(1) + b"\x01a",
        varint(4) + varint(5) + b"\x01a",
        varint(4) + varint(1) + b"\x02ab",
        varint(4) + varint(4) + b"\x7fab",
        varint(4) + varint(4) + b"\x00",
        varint(4) + varint(4) + b"\x91",
        varint(4) + varint(4) + b"\x91\x03\x04",
        varint(4) + varint(4) + b"\x9f\xff\xff\xff\xff\x04",
        varint(4) + varint(1 << 40) + b"\x90\x04" * 1000,
        varint(4) + varint(0) + b"\x01a",
    ],
)
def test_broken_delta(tmp_path: Path, wrong: bytes) -> None:
    """Instructions that do not fit base or result are refused."""
    made = Pack()
    base = made.add(BLOB, b"base")
    made.add(OFS_DELTA, wrong, base=base)
    assert bad(tmp_path, made).reason == "SourceRejected"


def test_delta_bomb(tmp_path: Path) -> None:
    """A small delta that announces little and copies much stops at what it announces."""
    made = Pack()
    base = made.add(BLOB, bytes(60000))
    made.add(OFS_DELTA, varint(60000) + varint(100) + b"\xb0\x60\xea" * 100_000, base=base)
    assert "too much" in bad(tmp_path, made).message


def test_missing_content(tmp_path: Path) -> None:
    """A file, a directory or the root that is not in the pack is named."""
    made = Pack()
    wanted = made.commit(made.tree((FILE, "here/not", b"\1" * 20)))
    assert "cannot be read" in bad(tmp_path / "a", made, wanted).message
    made = Pack()
    wanted = made.commit(made.tree((FILE, "gone.py", b"\1" * 20)))
    assert "gone.py" in bad(tmp_path / "b", made, wanted).message
    made = Pack()
    wanted = made.commit(b"\1" * 20)
    assert bad(tmp_path / "c", made, wanted).reason == "SourceRejected"


def test_wrong_kinds(tmp_path: Path) -> None:
    """A file that is a tree, a directory that is a file, a commit that is a blob."""
    made = Pack()
    empty = made.tree()
    wanted = made.commit(made.tree((FILE, "a", empty)))
    assert bad(tmp_path / "a", made, wanted).reason == "SourceRejected"
    made = Pack()
    blob = made.blob(b"1")
    wanted = made.commit(made.tree((DIRECTORY, "a", blob)))
    assert bad(tmp_path / "b", made, wanted).reason == "SourceRejected"
    made = Pack()
    assert isinstance(bad(tmp_path / "c", made, made.blob(b"1")), RevisionNotFoundError)
    made = Pack()
    made.add(COMMIT, b"tree nonsense\n")
    assert bad(tmp_path / "d", made, name(COMMIT, b"tree nonsense\n")).reason == "SourceRejected"


@pytest.mark.parametrize(
    "entry",
    [
        (FILE, "..", None),
        (FILE, ".git", None),
        (DIRECTORY, ".git", "tree"),
        (DIRECTORY, "..", "tree"),
        (MODULE, "..", None),
        (MODULE, "git~1", None),
        (LINK, ".gitmodules", None),
        (FILE, "a/b", None),
        ("10644", "a", None),
        ("777777", "a", None),
        ("060000", "a", None),
    ],
)
def test_hostile_entry(tmp_path: Path, entry: tuple[str, str, str | None]) -> None:
    """What git refuses to check out is not checked out."""
    made = Pack()
    blob = made.blob(b"x")
    inner = made.tree((FILE, "f", blob))
    mode, path, what = entry
    wanted = made.commit(made.tree((mode, path, inner if what else blob)))
    assert bad(tmp_path, made, wanted).reason == "SourceRejected"


def test_link_out_of_the_tree(tmp_path: Path) -> None:
    """An absolute link, one that climbs out, and one that is too long."""
    for number, target in enumerate((b"/etc/passwd", b"../../x", b"x" * 5000)):
        made = Pack()
        wanted = made.commit(made.tree((LINK, "link", made.blob(target))))
        error = bad(tmp_path / str(number), made, wanted)
        assert error.reason == "SourceRejected"
        assert "link" in error.message


def test_tree_bomb(tmp_path: Path) -> None:
    """Few objects that stand for countless files stop at the limit, held or not."""
    for missing in (False, True):
        made = Pack()
        below = made.blob(b"x") if not missing else b"\1" * 20
        mode = FILE
        for _ in range(10):
            below = made.tree(*((mode, f"d{n}", below) for n in range(10)))
            mode = DIRECTORY
        wanted = made.commit(below)
        with pytest.raises(SourceRejectedError) as caught:
            check_out(tmp_path / str(missing), made.bytes(), wanted, limits=Limits(entries=3000))
        assert caught.value.remedy


def test_another_commit(tmp_path: Path) -> None:
    """A pack without the commit that was asked for writes nothing."""
    made, _, _ = small()
    error = bad(tmp_path, made, b"\2" * 20)
    assert error.reason == "RevisionNotFound"
    assert list((tmp_path / "src").iterdir()) == []


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_bytes_break_the_reader(data: st.DataObject) -> None:
    """Whatever the stream holds, the answer is a tree or one of our errors."""
    made, wanted, _ = small()
    raw = bytearray(made.bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(raw) - 1))
        edit = data.draw(st.sampled_from(["change", "insert", "delete", "random"]))
        if edit == "change":
            raw[at] = data.draw(st.integers(0, 255))
        elif edit == "insert":
            raw[at:at] = data.draw(st.binary(max_size=8))
        elif edit == "delete":
            del raw[at : at + data.draw(st.integers(1, 8))]
        else:
            raw[at:] = data.draw(st.binary(max_size=40))
        raw = raw or bytearray(b"x")
    with tempfile.TemporaryDirectory() as directory, contextlib.suppress(FetchError):
        check_out(Path(directory), bytes(raw), wanted)
