"""Git's smart HTTP: each exchange is one request, see gitprotocol-http(5)."""

from __future__ import annotations

from collections.abc import Callable

from flow_fetcher.errors import FetchError, SourceUnreachableError
from flow_fetcher.sources.git.http import Response, Server
from flow_fetcher.sources.git.pktline import PacketReader, UnexpectedAnswerError
from flow_fetcher.sources.git.status import check_status

_SERVICE = "/git-upload-pack"
_DISCOVERY = "/info/refs?service=git-upload-pack"
_REQUEST = "application/x-git-upload-pack-request"
_RESULT = "application/x-git-upload-pack-result"
_ADVERTISEMENT = "application/x-git-upload-pack-advertisement"
_LONGEST_REST = 1 << 20
_VERSION_2 = {"Git-Protocol": "version=2"}


class SmartHTTP:
    """A repository on an HTTP server.

    Args:
        server: Moves the bytes.
        received: Told how many bytes came.
    """

    stateless = True

    def __init__(self, server: Server, received: Callable[[int], None]) -> None:
        self._server = server
        self._received = received

    @property
    def url(self) -> str:
        """Where the repository is; a redirect moves it."""
        return self._server.url

    def advertise(self) -> PacketReader:
        """Ask what the server offers."""
        response = self._server.get(_DISCOVERY, _VERSION_2)
        check_status(response, self._server)
        if response.content_type != _ADVERTISEMENT:
            raise no_repository(self.url)
        return PacketReader(response.read)

    def request(self, body: bytes, *, version: int, guess: bool) -> PacketReader:
        """Post to the repository's service."""
        headers = {"Content-Type": _REQUEST, "Accept": _RESULT}
        response = self._server.post(
            _SERVICE, body, headers | _VERSION_2 if version == 2 else headers
        )
        if guess and (response.status != 200 or response.content_type != _RESULT):
            raise UnexpectedAnswerError(f"the server answered {response.status} to a guess")
        check_status(response, self._server)
        return PacketReader(self._counted(response))

    def finish(self, reader: PacketReader) -> None:
        """Read the answer to its end, so that the connection can be used again."""
        left = _LONGEST_REST
        for data in reader.rest():
            left -= len(data)
            if left < 0:
                self._server.close()
                return

    def close(self) -> None:
        """Drop the connection."""
        self._server.close()

    def _counted(self, response: Response) -> Callable[[], bytes]:
        def read() -> bytes:
            data = response.read()
            self._received(len(data))
            return data

        return read


def no_repository(url: str) -> FetchError:
    """The error for a server that has something else there."""
    return SourceUnreachableError(
        f"{url} answers, but not as a git repository",
        remedy="Check the URL: it is what `git clone` takes, not the address of a web page.",
    )
