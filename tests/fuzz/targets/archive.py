"""Archives: flags, then the archive. The tree is safe, and a second reader finds the same files."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from functools import partial

from flow_fetcher.archives import Blob, unpack
from flow_fetcher.credentials import Credentials
from flow_fetcher.errors import FetchError
from flow_fetcher.log import Log, Progress, Report
from flow_fetcher.redact import Redactor
from flow_fetcher.sources import Fetch
from flow_fetcher.tree import Limits, TreeWriter
from tests.fuzz.oracle import Violation, judge_error, listed, room
from tests.fuzz.targets import Target, tar
from tests.fuzz.targets import zip as zips

_LIMITS = Limits(entries=400, size=8 << 20, depth=40)


def run(ending: str, data: bytes) -> bool:
    flags, raw = data[0] if data else 0, data[1:]
    first = (1 << 20, 100)[flags & 1]
    name = f"a.{ending}"
    blob = Blob(f"s3://b/{name}", name, len(raw), raw[:first], lambda a, b: raw[a:b])
    log = Log(Redactor(), stream=io.StringIO())
    with room() as place:
        try:
            with TreeWriter(place.root, _LIMITS) as tree:
                fetch = Fetch(Credentials({}), tree, place.scratch, log, Report(), Progress(log))
                revision = unpack(blob, fetch, strip=flags >> 1 & 3)
                tree.finish()
        except FetchError as error:
            judge_error(error)
            listed(place.root, refused=True)
            return False
        found = listed(place.root)
        if revision != f"sha256:{hashlib.sha256(raw).hexdigest()}":
            raise Violation("the revision is not the digest of the archive")
        if ending == "zip":
            _compare_zip(found, raw)
    return True


def _compare_zip(found: dict[bytes, tuple[str, bytes]], raw: bytes) -> None:
    """Python's own reader must know each of the files by its size and checksum."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            known = {(each.file_size, each.CRC) for each in archive.infolist()}
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, UnicodeError):
        return
    for path, (kind, content) in found.items():
        if kind != "directory" and (len(content), zlib.crc32(content)) not in known:
            raise Violation(f"{path!r} is not what the archive's directory says")


def target(name: str) -> Target:
    if name == "zip":
        return Target(partial(run, "zip"), zips.mutate, zips.seeds, largest=1 << 15, weight=2)
    return Target(
        partial(run, name),
        partial(tar.mutate, name),
        partial(tar.seeds, name),
        largest=1 << 15,
    )
