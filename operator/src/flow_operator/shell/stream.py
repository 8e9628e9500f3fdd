"""What the API server says when it streams all objects of a kind (KEP-3157, WatchList).

It sends them as events of a watch, then what changes meanwhile, and last a bookmark that says what
everything before it is as of.
"""

import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from pydantic_core import from_json

BOOKMARK, DELETED = "BOOKMARK", "DELETED"
"""Types of events."""

_SECONDS = 300

TIMEOUT = aiohttp.ClientTimeout(total=_SECONDS, sock_connect=5, sock_read=15)
"""How long it may take, and how long it may be silent."""

QUERY = {
    "watch": "true",
    "sendInitialEvents": "true",
    "resourceVersionMatch": "NotOlderThan",
    "allowWatchBookmarks": "true",
    "timeoutSeconds": str(_SECONDS),
}
"""What asks for it."""

ACCEPT_IDENTITY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""What asks for metadata alone."""

_LAST = "k8s.io/initial-events-end"
_IDENTITY = re.compile(
    rb'{"type":"([A-Z]+)","object":{(?:"(?:kind|apiVersion)":"[^"]*",)*"metadata":{"name":"([^"]+)",'
    rb'(?:"generateName":"[^"]*",)?"namespace":"([^"]+)","uid":"([^"]+)","resourceVersion":"([0-9]+)"'
)
"""How a line of metadata begins: the API server writes the fields in this order."""

Manifest = dict[str, Any]


class StreamError(Exception):
    """It did not come to its end, or makes no sense."""


async def read_events(
    content: aiohttp.StreamReader, *, only_identity: bool
) -> AsyncIterator[tuple[str, Manifest]]:
    """Yield the events; last the bookmark.

    Args:
        content: The body of the answer.
        only_identity: Whether name, namespace, UID and resourceVersion are enough.

    Raises:
        StreamError: It did not come to its end, or makes no sense.
    """
    try:
        async for line in _lines(content):
            kind, item = (only_identity and _identity_of(line)) or _event_of(line)
            if kind == "ERROR":
                raise StreamError(item.get("message"))
            last = kind == BOOKMARK and _LAST in item["metadata"]["annotations"]
            if last or kind != BOOKMARK:
                yield kind, item
            if last:
                return
    except (ValueError, LookupError, TypeError) as error:
        raise StreamError(f"it makes no sense: {error}") from error
    raise StreamError("it ended too early")


def _event_of(line: bytes) -> tuple[str, Manifest]:
    event = from_json(line)
    return event["type"], event["object"]


def _identity_of(line: bytes) -> tuple[str, Manifest] | None:
    """Return what an event is about without reading the rest of it, which takes ten times as long.

    None: it does not begin as usual.
    """
    if not (found := _IDENTITY.match(line)):
        return None
    kind, name, namespace, uid, version = map(bytes.decode, found.groups())
    meta = {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": version}
    return kind, {"metadata": meta}


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
