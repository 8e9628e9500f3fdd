"""Asks a git server for references and for a pack: protocol 2 first, 0 and 1 where it must be.

See gitprotocol-http(5), gitprotocol-v2(5) and gitprotocol-pack(5). A server that speaks protocol 2
is asked at once, without a look at its capabilities: that saves a round trip, and whatever else it
says leads to the full exchange.
"""

from __future__ import annotations

from collections.abc import Iterator

from flow_fetcher.errors import (
    FetchError,
    RevisionNotFoundError,
    SourceUnreachableError,
)
from flow_fetcher.log import Log
from flow_fetcher.sources.git.http import AGENT
from flow_fetcher.sources.git.offer import Offer, bounded, check_object, read_offer
from flow_fetcher.sources.git.pktline import (
    DELIMITER,
    FLUSH,
    PacketReader,
    RemoteError,
    UnexpectedAnswerError,
    packet,
)
from flow_fetcher.sources.git.smart import no_repository
from flow_fetcher.sources.git.transport import Transport

_MOST_WANTS = 50_000
"""In one request: servers hold a request in memory, git's own at most 10 MB."""
_FLUSH, _DELIM = b"0000", b"0001"


class Remote:
    """One repository on its server.

    Args:
        transport: Moves requests and answers.
        log: Takes lines for people.
    """

    def __init__(self, transport: Transport, log: Log) -> None:
        self._transport = transport
        self._log = log
        self._offer: Offer | None = None
        self._format = "sha1"

    def refs(self, *prefixes: str) -> tuple[dict[str, str], dict[str, str]]:
        """References that begin with one of these prefixes, and what the tags among them lead to.

        Raises:
            FetchError: The server cannot be asked.
        """
        if self._offer is None and not self._transport.stateless:
            self._discover()
        elif self._offer is None:
            try:
                return self._list(prefixes)
            except (UnexpectedAnswerError, RemoteError) as surprise:
                self._log.debug(f"protocol 2 without discovery: {surprise}")
                self._discover()
        offer = self._offer
        assert offer is not None
        if offer.version == 2:
            return self._list(prefixes)
        refs = {n: o for n, o in offer.refs.items() if n.startswith(prefixes)}
        return refs, {n: o for n, o in offer.peeled.items() if n in refs}

    def pack(self, commit: str, label: str, *, blobs: bool = True) -> Iterator[bytes]:
        """The pack with one commit at depth 1, or with all that there is where the server insists.

        Args:
            commit: Its name.
            label: What to call it in messages.
            blobs: Whether to have the files' content too; servers that cannot leave it out send it
                all the same.

        Raises:
            FetchError: The server cannot be asked, or has no such commit.
        """
        if self._offer is None and not self._transport.stateless:
            self._discover()
        elif self._offer is None:
            self._format = "sha1" if len(commit) == 40 else "sha256"
            try:
                return self._fetch([commit], shallow=True, blobs=blobs)
            except (UnexpectedAnswerError, RemoteError) as surprise:
                self._log.debug(f"protocol 2 without discovery: {surprise}")
                self._discover()
        offer = self._offer
        assert offer is not None
        self._check_format(commit, label)
        try:
            if self._may_ask_for(commit, offer):
                filters = offer.version == 2 and "filter" in offer.capabilities.get("fetch", "")
                return self._exchange(offer, [commit], shallow=True, blobs=blobs or not filters)
        except RemoteError as refusal:
            if offer.version == 2 and offer.capabilities.get("agent", "").startswith("git/"):
                raise _absent(label, refusal.message) from refusal
            self._log.debug(f"the server refuses the commit: {refusal.message}")
            if not self._transport.stateless:
                self._discover()
        return self._everything(commit, label)

    def objects(self, names: list[str], commit: str, label: str) -> Iterator[Iterator[bytes]]:
        """Packs that together have these objects, which `pack` left out.

        Raises:
            FetchError: The server cannot be asked.
        """
        try:
            for start in range(0, len(names), _MOST_WANTS):
                yield self._fetch(names[start : start + _MOST_WANTS], shallow=False)
        except RemoteError as refusal:
            self._log.warning(
                f"the server does not give out files alone ({refusal.message}): fetching all"
            )
            if not self._transport.stateless:
                self._discover()
            yield self.pack(commit, label)

    def _everything(self, commit: str, label: str) -> Iterator[bytes]:
        """All branches and tags with their history, in which the commit may be."""
        refs, _ = self.refs("refs/heads/", "refs/tags/")
        if not refs:
            raise _absent(label, "the repository is empty")
        self._log.warning(
            f"the server does not give out {commit[:12]} alone: fetching the whole history"
        )
        assert self._offer is not None
        try:
            return self._exchange(self._offer, sorted(set(refs.values())), shallow=False)
        except RemoteError as refusal:
            raise _absent(label, refusal.message) from refusal

    def _may_ask_for(self, commit: str, offer: Offer) -> bool:
        if offer.version == 2 or commit in offer.refs.values() or commit in offer.peeled.values():
            return True
        words = ("allow-reachable-sha1-in-want", "allow-tip-sha1-in-want")
        return any(word in offer.capabilities for word in words)

    def _exchange(
        self, offer: Offer, wants: list[str], *, shallow: bool, blobs: bool = True
    ) -> Iterator[bytes]:
        if offer.version == 2:
            return self._fetch(wants, shallow=shallow, blobs=blobs)
        # What a tag leads to is often no tip by itself, but the tag is one.
        tips = set(offer.refs.values())
        tags = {name: offer.refs[ref] for ref, name in offer.peeled.items() if ref in offer.refs}
        wants = [want if want in tips else tags.get(want, want) for want in wants]
        return self._fetch_old(offer, wants, shallow=shallow)

    # --- protocol 2 -----------------------------------------------------------------------------

    def _list(self, prefixes: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
        arguments = ["peel\n", *(f"ref-prefix {prefix}\n" for prefix in prefixes)]
        reader = self._command("ls-refs", arguments)
        refs: dict[str, str] = {}
        peeled: dict[str, str] = {}
        for line in reader.lines():
            name, _, rest = line.decode("utf-8", "surrogateescape").partition(" ")
            ref, _, attributes = rest.partition(" ")
            if name != "unborn":
                check_object(name)
                refs[ref] = name
            for attribute in attributes.split():
                if attribute.startswith("peeled:"):
                    peeled[ref] = attribute.removeprefix("peeled:")
                    check_object(peeled[ref])
            bounded(refs)
        self._transport.finish(reader)
        return refs, peeled

    def _fetch(self, wants: list[str], *, shallow: bool, blobs: bool = True) -> Iterator[bytes]:
        arguments = ["ofs-delta\n", "no-progress\n", *(f"want {want}\n" for want in wants)]
        arguments += ["deepen 1\n"] if shallow else []
        arguments += [] if blobs else ["filter blob:none\n"]
        reader = self._command("fetch", [*arguments, "done\n"])
        while True:
            section = reader.packet()
            if isinstance(section, str):
                raise UnexpectedAnswerError("the server sent no pack")
            if section.startswith(b"packfile"):
                return self._whole(reader)
            if not section.startswith((b"shallow-info", b"acknowledgments", b"wanted-refs")):
                raise UnexpectedAnswerError(f"the server sent {section[:40]!r} instead of a pack")
            while isinstance(end := reader.packet(), bytes):
                pass
            if end != DELIMITER:
                raise UnexpectedAnswerError("the server sent no pack")

    def _whole(self, reader: PacketReader) -> Iterator[bytes]:
        yield from reader.side_band(self._say)
        self._transport.finish(reader)

    def _command(self, name: str, arguments: list[str]) -> PacketReader:
        lines = [f"command={name}\n", f"agent={AGENT}\n"]
        # Servers older than the capability speak sha1 alone, and some refuse what they do not know.
        if self._format != "sha1":
            lines.append(f"object-format={self._format}\n")
        body = b"".join(map(packet, lines)) + _DELIM + b"".join(map(packet, arguments)) + _FLUSH
        return self._request(body, version=2)

    # --- protocols 0 and 1 ------------------------------------------------------------------------

    def _fetch_old(self, offer: Offer, wants: list[str], *, shallow: bool) -> Iterator[bytes]:
        shallow = shallow and "shallow" in offer.capabilities
        known = ["side-band-64k", "ofs-delta", "no-progress"]
        words = [word for word in known if word in offer.capabilities] + [f"agent={AGENT}"]
        if self._format != "sha1":
            words.append(f"object-format={self._format}")
        first, *others = wants
        body = packet(f"want {first} {' '.join(words)}\n")
        body += b"".join(packet(f"want {want}\n") for want in others)
        body += packet("deepen 1\n") if shallow else b""
        reader = self._request(body + _FLUSH + packet("done\n"), version=0)
        while isinstance(line := reader.packet(), bytes) or shallow:
            if line == FLUSH:
                shallow = False
            elif isinstance(line, bytes) and line.startswith((b"NAK", b"ACK ")):
                break
        else:
            raise UnexpectedAnswerError("the server sent no pack")
        return reader.side_band(self._say) if "side-band-64k" in words else reader.rest()

    # --- requests -----------------------------------------------------------------------------

    def _discover(self) -> None:
        """Ask what the server speaks; its answer, unlike one to a guess, decides."""
        reader = self._transport.advertise()
        try:
            self._offer = read_offer(reader)
        except (UnexpectedAnswerError, ValueError) as error:
            raise no_repository(self._transport.url) from error
        except RemoteError as refusal:
            raise SourceUnreachableError(
                f"{self._transport.url}: {refusal.message}", remedy="Look at the git server's log."
            ) from refusal
        self._transport.finish(reader)
        self._format = self._offer.capabilities.get("object-format", "sha1")
        self._log.debug(f"the server speaks protocol {self._offer.version}, {self._format}")

    def _request(self, body: bytes, *, version: int) -> PacketReader:
        return self._transport.request(body, version=version, guess=self._offer is None)

    def _check_format(self, commit: str, label: str) -> None:
        if len(commit) != (40 if self._format == "sha1" else 64):
            raise RevisionNotFoundError(
                f"{label} cannot be in this repository, which names commits with {self._format}",
                remedy="Use the commit's full name.",
            )

    def _say(self, text: str) -> None:
        if text:
            self._log.debug(f"server: {text}")


def _absent(label: str, said: str) -> FetchError:
    return RevisionNotFoundError(
        f"the server has no {label}: {said}",
        remedy="Check that it was pushed; servers remove commits that no branch or tag holds.",
    )
