"""Archives for tests, and unpacking them from memory."""

from __future__ import annotations

import io
import stat
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

from flow_fetcher.archives import Blob, unpack
from flow_fetcher.credentials import Credentials
from flow_fetcher.log import Log, Progress, Report
from flow_fetcher.redact import Redactor
from flow_fetcher.sources import Fetch
from flow_fetcher.tree import Limits, TreeWriter

try:
    from compression import zstd  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    from backports import zstd


def blob(data: bytes, name: str, *, first: int = 1 << 10) -> Blob:
    """An object in memory, most of it behind ranges."""
    return Blob(
        f"s3://flows/{name}", name, len(data), data[:first], lambda start, stop: data[start:stop]
    )


_LIMITS = Limits()


def unpacked(
    data: bytes | Blob, name: str = "a.tar", *, strip: int = 0, limits: Limits = _LIMITS
) -> tuple[str, dict[str, Any]]:
    """Unpack; the revision, and the tree: content of files, `-> target` of links, None for
    directories; executable files end in `*`."""
    source = data if isinstance(data, Blob) else blob(data, name)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "src"
        scratch = Path(folder) / "scratch"
        log = Log(Redactor(), stream=io.StringIO())
        with TreeWriter(root, limits) as tree:
            fetch = Fetch(Credentials({}), tree, scratch, log, Report(), Progress(log))
            revision = unpack(source, fetch, strip=strip)
            tree.finish()
        return revision, listed(root)


def listed(root: Path) -> dict[str, Any]:
    """What a directory holds."""
    found: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_dir():
            found[name] = None
        else:
            executable = path.stat().st_mode & stat.S_IXUSR
            found[name + ("*" if executable else "")] = path.read_bytes()
    return found


def tar(*members: tuple[str, Any], format: int = tarfile.PAX_FORMAT) -> bytes:  # noqa: A002
    """A tar archive of (name, content); a content may also be a TarInfo's fields."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=format) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            body = content
            if isinstance(content, dict):
                body = content.pop("body", b"")
                for key, value in content.items():
                    setattr(member, key, value)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return sink.getvalue()


def zipped(*members: tuple[str, Any], **options: Any) -> bytes:
    """A zip archive of (name, content); a content may also be (content, mode)."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", **{"compression": zipfile.ZIP_DEFLATED, **options}) as archive:
        for name, content in members:
            body, mode = content if isinstance(content, tuple) else (content, 0o100644)
            member = zipfile.ZipInfo(name)
            member.external_attr = mode << 16
            member.compress_type = archive.compression
            archive.writestr(member, body)
    return sink.getvalue()


def gzipped(data: bytes, level: int = 6) -> bytes:
    """The data as a gzip stream."""
    stream = zlib.compressobj(level, wbits=31)
    return stream.compress(data) + stream.flush()


def zstandard(data: bytes, **options: Any) -> bytes:
    """The data as a Zstandard frame."""
    return bytes(zstd.compress(data, **options))
