"""Archives unpack as other tools unpack them, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import struct
import tarfile
import zipfile
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flow_fetcher.errors import FetchError, PathNotFoundError, SourceRejectedError
from flow_fetcher.tree import Limits
from tests.unit.fetcher.archives import blob, gzipped, tar, unpacked, zipped, zstandard, zstd

TREE = {"a/x.py": b"x = 1\n", "a/b/empty": b"", "ü ñ.txt": b"text", "large": os.urandom(3 << 20)}
PACK = {
    "a.tar": lambda data: data,
    "a.tar.gz": gzipped,
    "a.tgz": gzipped,
    "a.tar.zst": zstandard,
}
FORMATS = [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT]
LONG = "d" * 90 + "/" + "n" * 200 + "/file.py"

names = st.text("abcdefghijklmnopqrstuvwxyzABCÜñ _-.", min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..") and not name.lower().startswith((".git", "git"))
)
trees = st.dictionaries(
    st.lists(names, min_size=1, max_size=4).map("/".join), st.binary(max_size=2000), max_size=12
).filter(lambda tree: tree and not any(b.startswith(f"{a}/") for a in tree for b in tree))


def files(tree: dict[str, Any]) -> dict[str, bytes]:
    return {name: body for name, body in tree.items() if body is not None}


@pytest.mark.parametrize("name", PACK)
@pytest.mark.parametrize("format", FORMATS)
def test_tar(name: str, format: int) -> None:  # noqa: A002
    """Every compression and dialect; the revision is the digest of the archive's bytes."""
    data = PACK[name](tar(*TREE.items(), format=format))
    revision, tree = unpacked(data, name)
    assert files(tree) == TREE
    assert revision == f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip(compression: int) -> None:
    """Stored and deflated; the revision is the digest of the archive's bytes."""
    data = zipped(*TREE.items(), compression=compression)
    revision, tree = unpacked(data, "a.zip")
    assert files(tree) == TREE
    assert revision == f"sha256:{hashlib.sha256(data).hexdigest()}"


@settings(deadline=None, max_examples=60)
@given(trees, st.sampled_from(FORMATS), st.sampled_from(sorted(PACK)), st.integers(0, 3000))
def test_any_tar(tree: dict[str, bytes], form: int, name: str, first: int) -> None:
    """What tarfile packs comes out the same, however the bytes arrive."""
    data = PACK[name](tar(*tree.items(), format=form))
    assert files(unpacked(blob(data, name, first=first))[1]) == tree


@settings(deadline=None, max_examples=60)
@given(trees, st.booleans(), st.binary(max_size=50), st.integers(0, 3000))
def test_any_zip(tree: dict[str, bytes], stored: bool, comment: bytes, first: int) -> None:
    """What zipfile packs comes out the same, with a comment at its end and however it arrives."""
    sink = io.BytesIO()
    method = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(sink, "w", method) as archive:
        archive.comment = comment.replace(b"PK", b"pk")
        for name, body in tree.items():
            archive.writestr(name, body)
    assert files(unpacked(blob(sink.getvalue(), "a.zip", first=first))[1]) == tree


def test_what_a_tar_says_of_its_entries() -> None:
    """Modes, links, directories, long names and a global header as `git archive` writes one."""
    members = [
        ("pax_global_header", {"type": b"g", "body": b"52 comment=" + b"8" * 40 + b"\n"}),
        ("./", {"type": tarfile.DIRTYPE}),
        ("./tool", {"mode": 0o4755, "body": b"#!"}),
        ("./empty/dir/", {"type": tarfile.DIRTYPE}),
        ("link", {"type": tarfile.SYMTYPE, "linkname": "empty/../tool"}),
        ("hard", {"type": tarfile.LNKTYPE, "linkname": "./tool"}),
        (LONG, b"long"),
        ("short", {"type": tarfile.SYMTYPE, "linkname": LONG}),
        ("v7/", {"type": b"\0"}),
    ]
    raw = [(name, fields) for name, fields in members if name != "pax_global_header"]
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        copies = [(name, dict(f) if isinstance(f, dict) else f) for name, f in raw]
        tree = unpacked(tar(*copies, format=form))[1]
        assert tree["tool*"] == tree["hard"] == b"#!"
        assert tree["link"] == "-> empty/../tool"
        assert tree["empty/dir"] is None
        assert tree["v7"] is None
        assert tree[LONG] == b"long"
        assert tree["short"] == f"-> {LONG}"


def test_what_a_zip_says_of_its_entries() -> None:
    """Modes, links and directories, and the names of foreign tools."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        member = zipfile.ZipInfo("win\\dir\\file.py")
        member.filename, member.create_system = "win\\dir\\file.py", 0
        archive.writestr(member, b"1")
    data = zipped(
        ("tool", (b"#!", 0o100755)),
        ("link", (b"tool", stat.S_IFLNK | 0o777)),
        ("empty/dir/", (b"", stat.S_IFDIR | 0o755)),
    )
    tree = unpacked(data, "a.zip")[1]
    assert tree == {"tool*": b"#!", "link": "-> tool", "empty": None, "empty/dir": None}
    assert files(unpacked(sink.getvalue(), "a.zip")[1]) == {"win/dir/file.py": b"1"}


def test_zip_with_data_descriptors_zip64_and_a_prefix() -> None:
    """What a writer does that cannot seek, what a huge archive has, and a program in front."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray(b"#!/bin/sh\n")

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.data += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]
        with archive.open("big/file.py", "w", force_zip64=True) as member:
            member.write(b"x = 1\n" * 100)
        archive.writestr("other.py", b"2")
    expected = {"big/file.py": b"x = 1\n" * 100, "other.py": b"2"}
    assert files(unpacked(bytes(pipe.data), "a.zip")[1]) == expected
    assert files(unpacked(bytes(pipe.data[10:]), "a.zip")[1]) == expected


@pytest.mark.parametrize("moved", [0, 7])
def test_zip64_end(moved: int) -> None:
    """The end record of huge archives is found, also when something stands before the archive."""
    data = zipped(*TREE.items(), compression=zipfile.ZIP_STORED)
    end, start = data.index(b"PK\5\6", -22), data.index(b"PK\1\2")
    count = len(TREE)
    record = struct.pack(
        "<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, end - start, start
    )
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, end, 1)
    last = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *[0xFFFF] * 2, *[0xFFFFFFFF] * 2, 0)
    wide = bytes(moved) + data[:end] + record + locator + last
    assert files(unpacked(wide, "a.zip")[1]) == TREE
    with pytest.raises(SourceRejectedError, match="zip64"):
        unpacked(wide.replace(b"PK\6\6", b"PK\6\5"), "a.zip")


@pytest.mark.parametrize("pack", [gzipped, zstandard])
def test_streams_in_several_parts(pack: Any) -> None:
    """Parallel compressors write a stream of several members; gzip may be padded with zeros."""
    data = tar(("a.py", b"1"), ("b.py", b"2" * 5000))
    parts = b"".join(pack(data[start : start + 700]) for start in range(0, len(data), 700))
    name = "a.tgz" if pack is gzipped else "a.tar.zst"
    assert set(unpacked(parts, name)[1]) == {"a.py", "b.py"}
    if pack is gzipped:
        assert set(unpacked(parts + bytes(700), name)[1]) == {"a.py", "b.py"}


def test_strip() -> None:
    """Leading directories are dropped, and what has no more than them."""
    members = [
        ("flows-1.0/", {"type": tarfile.DIRTYPE}),
        ("flows-1.0/a.py", b"1"),
        ("flows-1.0/sub/b.py", b"2"),
        ("flows-1.0/hard.py", {"type": tarfile.LNKTYPE, "linkname": "flows-1.0/a.py"}),
        ("README", b"3"),
    ]
    tree = unpacked(tar(*members), strip=1)[1]
    assert files(tree) == {"a.py": b"1", "sub/b.py": b"2", "hard.py": b"1"}
    data = zipped(("flows-1.0/a.py", b"1"), ("README", b"3"))
    assert unpacked(data, "a.zip", strip=1)[1] == {"a.py": b"1"}
    with pytest.raises(PathNotFoundError, match="below 3 leading"):
        unpacked(data, "a.zip", strip=3)


@pytest.mark.parametrize("data", [tar(), zipped()])
def test_empty(data: bytes) -> None:
    """An archive without files is a mistake."""
    with pytest.raises(PathNotFoundError, match="no files"):
        unpacked(data, "a.zip" if data[:2] == b"PK" else "a.tar")


# --- hostile and broken ---------------------------------------------------------------------------

LINK = {"type": tarfile.SYMTYPE}
HARD = {"type": tarfile.LNKTYPE}


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([("/etc/passwd", b"x")], "is absolute"),
        ([("../x", b"x")], r"'\.\.'"),
        ([("a/../../x", b"x")], r"'\.\.'"),
        ([("a/.git/config", b"x")], r"\.git"),
        ([("x", b"1"), ("./x", b"2")], "twice"),
        ([("x", b"1"), ("x/y", b"2")], "both a file and a directory"),
        ([("x/y", b"1"), ("x", b"2")], "both a file and a directory"),
        ([("l", {**LINK, "linkname": "/etc"})], "absolute"),
        ([("l", {**LINK, "linkname": "../../etc"})], "out of the tree"),
        ([("d/l", {**LINK, "linkname": ".."}), ("d/l/x", b"1")], "twice|both"),
        ([("h", {**HARD, "linkname": "/etc/passwd"})], "is absolute"),
        ([("h", {**HARD, "linkname": "../plan.json"})], r"'\.\.'"),
        ([("h", {**HARD, "linkname": "later"}), ("later", b"1")], "hard link"),
        ([("h", {**HARD, "linkname": "."})], "empty component"),
        ([("d/", {"type": tarfile.DIRTYPE}), ("h", {**HARD, "linkname": "d"})], "hard link"),
        ([("dev", {"type": tarfile.CHRTYPE})], "a device"),
        ([("dev", {"type": tarfile.BLKTYPE})], "a device"),
        ([("pipe", {"type": tarfile.FIFOTYPE})], "a pipe"),
        ([("sparse", {"type": tarfile.GNUTYPE_SPARSE})], "sparse"),
        ([("odd", {"type": b"Z"})], "unknown kind"),
        ([("p", {"body": b"1", "pax_headers": {"GNU.sparse.major": "1"}})], "sparse"),
    ],
)
def test_hostile_tar(members: list[tuple[str, Any]], told: str) -> None:
    """Nothing is written outside, through a link, over another entry, or as a device."""
    copies = [(n, dict(f) if isinstance(f, dict) else f) for n, f in members]
    with pytest.raises(SourceRejectedError, match=told):
        unpacked(tar(*copies))


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([("/etc/passwd", b"x")], "is absolute"),
        ([("../x", b"x")], r"'\.\.'"),
        ([("a/.GIT/config", b"x")], r"\.git"),
        ([("l", (b"../..", stat.S_IFLNK | 0o777))], "out of the tree"),
        ([("l", (b"/etc", stat.S_IFLNK | 0o777))], "absolute"),
        ([("l", (b"x" * 5000, stat.S_IFLNK | 0o777))], "too long a target"),
        ([("dev", (b"", stat.S_IFCHR | 0o666))], "a device"),
        ([("pipe", (b"", stat.S_IFIFO | 0o666))], "a device"),
        ([("dir/", (b"content", stat.S_IFDIR | 0o755))], "directory with content"),
    ],
)
def test_hostile_zip(members: list[tuple[str, Any]], told: str) -> None:
    """The same promises as for tar."""
    with pytest.raises(SourceRejectedError, match=told):
        unpacked(zipped(*members), "a.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_with_an_entry_twice() -> None:
    """Which of the two would count depends on the tool: neither does."""
    with pytest.raises(SourceRejectedError, match="twice"):
        unpacked(zipped(("x", b"1"), ("x", b"2")), "a.zip")


def _patched(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def test_zip_whose_parts_disagree() -> None:
    """Encrypted, another name, overlapping, wrong sums and sizes, other methods, several disks."""
    data = zipped(("one.py", b"a" * 500), ("two.py", b"b" * 500))
    central = data.index(b"PK\1\2")
    second = data.index(b"PK\1\2", central + 1)
    end = data.index(b"PK\5\6")
    for changed, told in [
        (_patched(data, central + 8, b"\1\0"), "encrypted"),
        (_patched(data, central + 10, struct.pack("<H", 12)), "method 12"),
        (_patched(data, 30, b"ONE"), "something else"),
        (_patched(data, central + 16, b"\0\0\0\0"), "wrong checksum"),
        (_patched(data, central + 24, struct.pack("<L", 499)), "longer than"),
        (_patched(data, central + 24, struct.pack("<L", 501)), "shorter than"),
        (_patched(data, central + 20, struct.pack("<L", 5)), "cut off"),
        (_patched(data, second + 42, struct.pack("<L", 0)), "shares bytes|something else"),
        (_patched(data, second + 42, struct.pack("<L", 3)), "shares bytes"),
        (_patched(data, central + 20, struct.pack("<L", 1 << 30)), "directory"),
        (_patched(data, end + 4, b"\1\0"), "several"),
        (_patched(data, end + 8, b"\1\0\1\0"), "more entries"),
        (_patched(data, end + 12, struct.pack("<L", 1 << 30)), "directory"),
        (_patched(data, end + 16, struct.pack("<L", 1 << 30)), "directory"),
        (_patched(data, second, b"XX"), "damaged"),
        (data[: len(data) // 2], "no zip archive"),
        (b"<html>not found</html>", "no zip archive"),
        (b"", "no zip archive"),
    ]:
        with pytest.raises(SourceRejectedError, match=told):
            unpacked(changed, "a.zip")


def test_overlapping_zip_bomb() -> None:
    """Many entries that share one kernel of data are refused at the second."""
    kernel = zipped(("kernel", b"\0" * 1_000_000))
    central = kernel.index(b"PK\1\2")
    end = kernel.index(b"PK\5\6")
    entry = kernel[central:end]
    count = 1000
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(entry) * count, central, 0)
    with pytest.raises(SourceRejectedError, match="shares bytes"):
        unpacked(kernel[:central] + entry * count + tail, "a.zip")


BOMB = bytes(300 << 20)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar.zst", "a.zip"])
def test_bomb(name: str) -> None:
    """What grows out of all proportion is stopped early."""
    data = zipped(("zeros", BOMB)) if name == "a.zip" else PACK[name](tar(("zeros", BOMB)))
    with pytest.raises(SourceRejectedError, match="bomb"):
        unpacked(data, name)


def test_bomb_of_hard_links() -> None:
    """Copies count like any other content."""
    links = [(f"h{n}", {**HARD, "linkname": "zeros"}) for n in range(400)]
    with pytest.raises(SourceRejectedError, match="bomb"):
        unpacked(gzipped(tar(("zeros", bytes(1 << 20)), *links)), "a.tgz")


@pytest.mark.parametrize("name", ["a.tar", "a.zip"])
def test_limits(name: str) -> None:
    """The limits of the tree hold for archives."""
    make = zipped if name == "a.zip" else tar
    with pytest.raises(SourceRejectedError, match="larger than"):
        unpacked(make(("x", bytes(5000))), name, limits=Limits(size=4096))
    with pytest.raises(SourceRejectedError, match="more than 10 files"):
        unpacked(make(*((str(n), b"") for n in range(11))), name, limits=Limits(entries=10))


def test_zstandard_that_needs_too_much_memory() -> None:
    """A stream that makes us remember more than 64 MiB is refused with what to do."""
    parameter = zstd.CompressionParameter
    options = {parameter.window_log: 27, parameter.enable_long_distance_matching: 1}
    data = zstandard(tar(("x", os.urandom(1 << 10))), options=options)
    # A single frame of known size needs no window; one of unknown size does.
    stream = zstd.ZstdCompressor(options=options)
    data = stream.compress(tar(("x", os.urandom(1 << 10)))) + stream.flush()
    with pytest.raises(SourceRejectedError, match="without --long"):
        unpacked(data, "a.tar.zst")


@pytest.mark.parametrize("name", PACK)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
def test_cut_off(name: str, share: float) -> None:
    """A truncated archive is never taken for a smaller one."""
    data = PACK[name](tar(*((f"{n}.py", os.urandom(700)) for n in range(20))))
    kept = data[: int(len(data) * share)]
    if name == "a.tar" and share > 0.9:
        kept = data.rstrip(b"\0")
    with pytest.raises(SourceRejectedError):
        unpacked(kept, name)


def test_download_that_ends_early() -> None:
    """The size that the store announced is the size that must come."""
    data = tar(("x", b"1"))
    short = blob(data, "a.tar")
    lying = type(short)(short.url, short.name, len(data) + 5, data, lambda *_: b"")
    with pytest.raises(SourceRejectedError, match="announced"):
        unpacked(lying)


@pytest.mark.parametrize("name", [*PACK, "a.zip"])
def test_wrong_kind(name: str) -> None:
    """A web page or an archive of another kind is refused in words."""
    for data in (b"<html>" * 200, b"", os.urandom(2000), bytes(100)):
        with pytest.raises((SourceRejectedError, PathNotFoundError)):
            unpacked(data, name)


GOOD = {
    "a.tar": tar(("d/x.py", b"1" * 600), ("y", {**LINK, "linkname": "d/x.py"})),
    "a.zip": zipped(("d/x.py", b"1" * 600), ("y", (b"d/x.py", stat.S_IFLNK | 0o777))),
}
GOOD["a.tgz"] = gzipped(GOOD["a.tar"])
GOOD["a.tar.zst"] = zstandard(GOOD["a.tar"])


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(sorted(GOOD)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    st.floats(0, 1),
)
@example("a.tar", [(0.06, 45)], 1.0)
def test_damaged(name: str, changes: list[tuple[float, int]], kept: float) -> None:
    """Whatever is changed in an archive, the result is a tree or one of our errors."""
    data = bytearray(GOOD[name])
    for place, value in changes:
        data[int(place * len(data))] = value
    with contextlib.suppress(FetchError):
        unpacked(bytes(data[: int(len(data) * kept)]), name)
