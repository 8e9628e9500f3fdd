"""Whatever fsspec reads: S3, Google's and Azure's stores in ways that the fast sources lack, and
every other file system that the image has a package for.

fsspec and its file systems are slow to import and large; only the image flow-fetcher-full has them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from flow_fetcher.errors import FetchError
from flow_fetcher.fields import invalid
from flow_fetcher.plan import Plan
from flow_fetcher.sources import Fetch
from flow_fetcher.sources.bucket import Content, pinned, read_content

_PROTOCOL = re.compile(r"[a-z][a-z0-9+.-]*")
_LOCAL = frozenset(
    {
        "blockcache", "cached", "data", "dir", "file", "filecache", "local", "memory", "reference",
        "simplecache",
    }
)  # fmt: skip
"""What would read the Pod itself, where the mounted Secret is, or what has no address."""


@dataclass(frozen=True)
class FsspecSource:
    """A folder or an archive, as the plan describes it."""

    address: str
    content: Content
    options: dict[str, Any]
    insecure: bool

    wanted_keys = (
        "`options.json`, an object of options of the file system, or the keys that the sources "
        "s3, gcs and azure take; `ca.crt` for a private certificate authority"
    )

    @property
    def protocol(self) -> str:
        """What stands before `://`."""
        return self.address.partition(":")[0]

    @property
    def url(self) -> str:
        """What to call it in messages."""
        return f"{self.address}/{self.content.key}" if self.content.key else self.address

    def fetch(self, fetch: Fetch) -> str:
        """Write the tree and return its revision.

        Raises:
            FetchError: It cannot be done.
        """
        from flow_fetcher.sources.fsspec.errors import explain
        from flow_fetcher.sources.fsspec.options import open_filesystem

        try:
            filesystem, path = open_filesystem(self, fetch)
            if self.content.key:
                from flow_fetcher.sources.fsspec.archive import fetch_archive

                name = f"{path}/{self.content.key}"
                revision = fetch_archive(filesystem, name, self.url, fetch, self.content.strip)
            else:
                from flow_fetcher.sources.fsspec.folder import Folder

                revision = Folder(filesystem, path, self.url, fetch).run()
        except (FetchError, OSError) as error:
            if isinstance(error, FetchError) or _is_of_the_volume(error):
                raise
            raise explain(error, self.url) from error
        except Exception as error:
            raise explain(error, self.url) from error
        pinned(self.url, revision, self.content.revision)
        fetch.report.revision = revision
        return revision


def open_source(plan: Plan) -> FsspecSource:
    """The place that the plan names.

    Raises:
        InvalidPlanError: A field has a wrong value.
    """
    fields = plan.source
    url, name = fields.text("url").rstrip("/"), fields.name("url")
    protocol, colon, rest = url.partition("://")
    if not colon or not _PROTOCOL.fullmatch(protocol) or not rest:
        raise invalid(name, "must be PROTOCOL://..., such as gs://bucket/folder")
    if protocol in _LOCAL or "::" in url:
        raise invalid(name, "must name one remote file system")
    try:
        password = urlsplit(url).password
    except ValueError as error:
        raise invalid(name, f"is no URL: {error}") from error
    if password is not None:
        raise invalid(name, "must not hold a password: use secretRef")
    if any(part in (".", "..") for part in rest.split("/")) or set(url) & set("?#\\ "):
        raise invalid(name, "must have no '.', '..', query or fragment")
    insecure, options = fields.flag("insecure"), fields.mapping("options")
    if plan.secret_name is not None and not insecure:
        if protocol in ("http", "ftp", "webdav"):
            raise invalid(name, f"sends credentials over plain {protocol}: or insecure: true")
        if any(is_plain(value) for value in options.values()):
            raise invalid(
                fields.name("options"),
                "sends credentials over plain HTTP: use https:// or insecure: true",
            )
    content = read_content(plan)
    return FsspecSource(address=url, content=content, options=options, insecure=insecure)


def is_plain(value: Any) -> bool:
    """Whether an option holds an address of plain HTTP."""
    if isinstance(value, dict):
        return any(is_plain(inner) for inner in value.values())
    if isinstance(value, list):
        return any(is_plain(inner) for inner in value)
    return isinstance(value, str) and value.lower().startswith("http://")


def _is_of_the_volume(error: OSError) -> bool:
    import errno

    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
