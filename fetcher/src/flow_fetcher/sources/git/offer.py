"""What a git server offers: its answer to discovery, in any version of the protocol.

See gitprotocol-http(5), gitprotocol-pack(5) and gitprotocol-v2(5).
"""

from __future__ import annotations

import re

from flow_fetcher.errors import SourceUnreachableError
from flow_fetcher.sources.git.pktline import PacketReader, UnexpectedAnswerError

_OBJECT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_MOST_REFS = 2_000_000


class Offer:
    """What a server told of itself.

    Attributes:
        version: 2, 1 or 0.
        capabilities: Name → value.
        refs: Reference → name of its object; protocols 0 and 1 tell them at once.
        peeled: Tag → name of what it leads to.
    """

    def __init__(self, version: int) -> None:
        self.version = version
        self.capabilities: dict[str, str] = {}
        self.refs: dict[str, str] = {}
        self.peeled: dict[str, str] = {}


def read_offer(reader: PacketReader) -> Offer:
    """Read an advertisement to its end.

    Raises:
        UnexpectedAnswerError: It is none.
        ValueError: It holds what it must not.
        RemoteError: The server refuses.
    """
    first = reader.packet()
    if isinstance(first, bytes) and first.startswith(b"# service="):
        reader.packet()
        first = reader.packet()
    offer = Offer(0)
    line = first.removesuffix(b"\n") if isinstance(first, bytes) else b""
    if line == b"version 2":
        offer.version = 2
        for raw in reader.lines():
            name, _, value = raw.decode().partition("=")
            offer.capabilities[name] = value
        return offer
    if line == b"version 1":
        offer.version = 1
        first = reader.packet()
        line = first.removesuffix(b"\n") if isinstance(first, bytes) else b""
    if not isinstance(first, bytes):
        return offer
    line, _, words = line.partition(b"\0")
    for word in words.decode().split():
        name, _, value = word.partition("=")
        offer.capabilities[name] = value
    _add_ref(offer, line)
    for raw in reader.lines():
        _add_ref(offer, raw)
    return offer


def _add_ref(offer: Offer, line: bytes) -> None:
    name, space, ref = line.decode("utf-8", "surrogateescape").partition(" ")
    if not space or name == "shallow" or ref == "capabilities^{}":
        return
    check_object(name)
    if ref.endswith("^{}"):
        offer.peeled[ref.removesuffix("^{}")] = name
    else:
        offer.refs[ref] = name
    bounded(offer.refs)


def check_object(name: str) -> None:
    """Refuse what cannot be the name of an object.

    Raises:
        UnexpectedAnswerError: It is none.
    """
    if not _OBJECT.fullmatch(name):
        raise UnexpectedAnswerError(f"the server lists {name[:80]!r} as the name of an object")


def bounded(refs: dict[str, str]) -> None:
    """Refuse a list of references that would fill memory."""
    if len(refs) > _MOST_REFS:
        raise SourceUnreachableError(f"the server lists more than {_MOST_REFS} references")
