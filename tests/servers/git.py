"""Serves the git repositories of a directory over smart HTTP, through git's own `http-backend`."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.servers.authority import Authority
from tests.servers.web import Handler, Server

_PIECE = 1 << 16


def _backend() -> str:
    where = subprocess.run(["git", "--exec-path"], check=True, capture_output=True, text=True)
    return f"{where.stdout.strip()}/git-http-backend"


class GitServer(Server):
    """Every repository below a directory, public or for some users only.

    Args:
        root: The directory; `root/flows.git` is served as `<url>/flows.git`.
        users: User name → password; None is public. The name `*` takes any user name.
        bearer: A token that is taken as `Authorization: Bearer`.
        hidden: Answer 404 instead of 401, as some hosts do for private repositories.
        protocol: The newest version that is spoken: 2, 1 or 0.
        authority: Makes it HTTPS.
        host: The name in URL and certificate.
        port: Where to listen; 0 is a free port.
        address: The address to bind.
    """

    def __init__(
        self,
        root: Path,
        *,
        users: Mapping[str, str] | None = None,
        bearer: str | None = None,
        hidden: bool = False,
        protocol: int = 2,
        authority: Authority | None = None,
        host: str = "localhost",
        port: int = 0,
        address: str = "127.0.0.1",
    ) -> None:
        super().__init__(_GitHandler, authority=authority, host=host, port=port, address=address)
        self.root = root
        self.users = users
        self.bearer = bearer
        self.hidden = hidden
        self.protocol = protocol
        self.backend = _backend()


class _GitHandler(Handler):
    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self.body()
        server = self.server.owner
        assert isinstance(server, GitServer)
        user = self._user(server)
        if user is None:
            if server.hidden:
                self.answer(404, "Repository not found.")
            else:
                self.answer(401, "Unauthorized", WWW_Authenticate='Basic realm="git"')
            return
        self._run(server, user, body)

    def _user(self, server: GitServer) -> str | None:
        """Who asks; empty for anybody, None for somebody who may not."""
        if server.users is None and server.bearer is None:
            return ""
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        if kind == "Bearer" and value == server.bearer:
            return "bearer"
        if kind != "Basic":
            return None
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except ValueError:
            return None
        users = server.users or {}
        return user if password == users.get(user, users.get("*")) else None

    def _run(self, server: GitServer, user: str, body: bytes) -> None:
        parts = urlsplit(self.path)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(server.root),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_PROJECT_ROOT": str(server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "PATH_INFO": unquote(parts.path),
            "QUERY_STRING": parts.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_USER": user,
            "REMOTE_ADDR": self.client_address[0],
        }
        asked = self.headers.get("Git-Protocol")
        if asked and server.protocol > 0:
            environment["GIT_PROTOCOL"] = asked if server.protocol >= 2 else "version=1"
        with subprocess.Popen(
            [server.backend],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(body)
            process.stdin.close()
            self._relay(process.stdout)

    def _relay(self, output: object) -> None:
        """Turn the output of a CGI program into an answer, while it comes."""
        status, headers = 200, []
        while line := output.readline().strip():  # type: ignore[attr-defined]
            name, _, value = line.decode().partition(": ")
            if name.lower() == "status":
                status = int(value.split()[0])
            else:
                headers.append((name, value))
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while piece := output.read1(_PIECE):  # type: ignore[attr-defined]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
