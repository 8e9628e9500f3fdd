"""Moves bytes to and from one HTTP server over one connection; knows nothing of git.

TLS, proxies, redirects and credentials are decided here: credentials go to the server of the plan
alone, and never from https to http.
"""

from __future__ import annotations

import os
import socket
import sys
from binascii import b2a_base64
from collections.abc import Callable
from urllib.parse import urlsplit

from flow_fetcher import __version__
from flow_fetcher.credentials import Credentials
from flow_fetcher.errors import AuthenticationFailedError, FetchError, SourceUnreachableError
from flow_fetcher.log import Log
from flow_fetcher.record import Record
from flow_fetcher.sources.git.proxy import Proxy, find_proxy
from flow_fetcher.sources.git.spec import GitSpec
from flow_fetcher.sources.git.wire import Answer, BrokenAnswerError, Connection

AGENT = f"flow-fetcher/{__version__}"

_LONGEST_EXPLANATION = 300
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
_PORTS = {"http": 80, "https": 443}
_CERTIFICATE_REMEDY = (
    "If the server's certificate comes from a private authority, put its certificate (PEM) under "
    "`ca.crt` into the Secret of secretRef; otherwise correct the host in the URL."
)


class Timeouts(Record):
    """How long to wait for a connection, and for the next byte."""

    connect: float = 5.0
    stall: float = 20.0


class Response:
    """The answer to one request; its body is read piece by piece."""

    def __init__(self, raw: Answer, explain: Callable[[Exception], FetchError]) -> None:
        self._raw = raw
        self._explain = explain
        self.status = raw.status

    @property
    def content_type(self) -> str:
        """The type of the body, without its parameters."""
        return self.header("Content-Type").partition(";")[0].strip()

    def header(self, name: str) -> str:
        """A header, empty where it is absent."""
        return self._raw.headers.get(name.lower(), "")

    def read(self) -> bytes:
        """What has arrived of the body, at least one byte; empty at its end.

        Raises:
            SourceUnreachableError: The connection broke or stands still.
        """
        try:
            return self._raw.read()
        except (OSError, BrokenAnswerError) as error:
            raise self._explain(error) from error

    def text(self) -> str:
        """The beginning of the body, for messages; empty where it is a web page."""
        if "html" in self.header("Content-Type"):
            return ""
        raw = b""
        try:
            while len(raw) < _LONGEST_EXPLANATION and (piece := self._raw.read()):
                raw += piece
        except (OSError, BrokenAnswerError):
            return ""
        return " ".join(raw[:_LONGEST_EXPLANATION].decode("utf-8", "replace").split())

    @property
    def retry_after(self) -> float:
        """How many seconds the server asks to be left alone for."""
        value = self.header("Retry-After")
        return float(value) if value.isascii() and value.isdigit() else 0.0


class Server:
    """The server of one repository; keeps its connection between requests.

    Args:
        spec: Where it is.
        credentials: For the certificate authority and the client certificate.
        authorization: The value of the Authorization header, or None.
        log: Takes lines for people.
        timeouts: How long to wait.
        meanwhile: Work to be done while the server works on a request.
    """

    def __init__(
        self,
        spec: GitSpec,
        credentials: Credentials,
        authorization: str | None,
        log: Log,
        timeouts: Timeouts,
        *,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        self._meanwhile = meanwhile
        self._credentials = credentials
        self._authorization = authorization
        self._log = log
        self._timeouts = timeouts
        self._connection: Connection | None = None
        self._proxy: Proxy | None = None
        self.url = spec.url
        self.secret_name = credentials.secret_name

    def get(self, path: str, headers: dict[str, str]) -> Response:
        """Get a path below the repository; redirects that keep the path move the repository.

        Raises:
            SourceUnreachableError: No connection, or a redirect that must not be followed.
        """
        for _ in range(_MOST_REDIRECTS):
            response = self._request("GET", path, None, headers)
            if response.status not in _REDIRECTS:
                return response
            try:
                self._redirect(path, response.header("Location"))
            except ValueError as error:
                raise SourceUnreachableError(
                    f"{self.url} redirects to something that is no URL", remedy=_URL_REMEDY
                ) from error
        raise SourceUnreachableError(f"{self.url} redirects in circles", remedy=_URL_REMEDY)

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> Response:
        """Post to a path below the repository.

        Raises:
            SourceUnreachableError: No connection.
        """
        return self._request("POST", path, body, headers)

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _request(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> Response:
        parts = urlsplit(self.url + path)
        host = parts.netloc.removesuffix(f":{_PORTS[parts.scheme]}")
        headers = {"Host": host, "User-Agent": AGENT, "Accept-Encoding": "identity", **headers}
        if self._authorization:
            headers["Authorization"] = self._authorization
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if self._connection is not None and not self._connection.reusable:
            # Nobody read the last answer to its end, or the server said that it was the last.
            self.close()
        reused = self._connection is not None
        while True:
            try:
                connection = self._connection = self._connection or self._connect()
                if self._proxy and parts.scheme == "http":
                    target, headers = self.url + path, headers | self._to_proxy()
                answer = connection.request(
                    method, target, headers, body or b"", meanwhile=self._meanwhile
                )
                return Response(answer, self._explain)
            except (OSError, BrokenAnswerError) as error:
                connected = self._connection is not None
                self.close()
                # A server may drop a connection between two requests.
                if reused and isinstance(error, ConnectionError):
                    reused = False
                    continue
                raise self._explain(error, connected=connected) from error

    def _connect(self) -> Connection:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        port = parts.port or _PORTS[parts.scheme]
        proxy = self._proxy = find_proxy(parts.scheme, host, port, os.environ)
        at = (proxy.host, proxy.port) if proxy else (host, port)
        if parts.scheme == "http":
            connection = Connection(*at, self._timeouts.connect)
        else:
            connection = self._connect_encrypted(at, host, port)
        connection.wait_at_most(self._timeouts.stall)
        return connection

    def _connect_encrypted(self, at: tuple[str, int], host: str, port: int) -> Connection:
        connection = Connection(*at, self._timeouts.connect)
        import ssl  # takes 8 ms that http:// does not need, and that the server may use

        try:
            self._encrypt(connection, host, port, bundle=False)
        except ssl.SSLCertVerificationError:
            connection.close()
            connection = Connection(*at, self._timeouts.connect)
            self._encrypt(connection, host, port, bundle=True)
        return connection

    def _encrypt(self, connection: Connection, host: str, port: int, *, bundle: bool) -> None:
        from flow_fetcher.sources.git.tls import trust

        context = trust(self._credentials, bundle=bundle)
        if self._proxy:
            there = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            answer = connection.request("CONNECT", there, {"Host": there, **self._to_proxy()})
            if answer.status != 200:
                raise OSError(f"the proxy answered {answer.status} to CONNECT")
        connection.encrypt(context, host)

    def _to_proxy(self) -> dict[str, str]:
        if not self._proxy or not self._proxy.user:
            return {}
        pair = f"{self._proxy.user}:{self._proxy.password}".encode()
        return {"Proxy-Authorization": "Basic " + b2a_base64(pair, newline=False).decode()}

    def _redirect(self, path: str, location: str) -> None:
        if any(char <= " " or char == "\x7f" for char in location):
            raise ValueError("a URL with a blank or control character")
        old = urlsplit(self.url)
        bare_path = path.partition("?")[0]
        if location.startswith("/") and not location.startswith("//"):
            location = f"{old.scheme}://{old.netloc}{location}"
        new = urlsplit(location)
        # Raises for a port that is no number, as the line above for a host that is no address.
        new.port  # noqa: B018
        shown = f"{new.scheme}://{new.hostname}{new.path}"
        if not new.path.endswith(bare_path) or new.scheme not in ("http", "https"):
            raise AuthenticationFailedError(
                f"{self.url} redirects to {shown}, which is no git repository",
                remedy="Such a page often asks to log in: check the credentials, and the URL.",
            )
        if old.scheme == "https" and new.scheme == "http":
            raise SourceUnreachableError(
                f"{self.url} redirects from https to http, to {shown}", remedy=_URL_REMEDY
            )
        netloc = new.netloc.rpartition("@")[2]
        elsewhere = new.hostname != old.hostname or (
            netloc != old.netloc and new.scheme == old.scheme
        )
        if self._authorization and elsewhere:
            raise SourceUnreachableError(
                f"{self.url} redirects to another server, which must not get credentials: {shown}",
                remedy="If that is right, put the new URL into the source.",
            )
        self.close()
        self.url = f"{new.scheme}://{netloc}{new.path.removesuffix(bare_path)}"
        self._log.info(f"the repository has moved to {self.url}")

    def _explain(self, error: Exception, *, connected: bool = True) -> FetchError:
        """What went wrong with the connection, and what the user can do."""
        if isinstance(error, FetchError):
            return error
        parts = urlsplit(self.url)
        where = f"{parts.scheme}://{parts.netloc}"
        if self._proxy:
            where += f" through the proxy {self._proxy.host}:{self._proxy.port}"
        ssl_module = sys.modules.get("ssl")
        if ssl_module and isinstance(error, ssl_module.SSLCertVerificationError):
            return SourceUnreachableError(
                f"the certificate of {where} is not trusted: {error.verify_message}",
                remedy=_CERTIFICATE_REMEDY,
            )
        if isinstance(error, TimeoutError):
            problem = "stopped sending" if connected else "cannot be reached: no answer"
            seconds = self._timeouts.stall if connected else self._timeouts.connect
            text = f"{where} {problem} for {seconds:.0f} s"
        elif isinstance(error, socket.gaierror):
            text = f"the host of {where} has no address: {error.strerror}"
        elif isinstance(error, BrokenAnswerError):
            text = f"{where} broke off its answer: {error}"
        else:
            text = f"no connection to {where}: {getattr(error, 'strerror', None) or error}"
        remedy = "Check the URL, the server, and the cluster's DNS, network policies and proxy."
        return SourceUnreachableError(text, remedy=remedy, transient=True)


_URL_REMEDY = "Put the URL into the source that the server finally redirects to."
