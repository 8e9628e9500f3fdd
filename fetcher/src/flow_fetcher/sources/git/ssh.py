"""Git over one SSH connection, through the OpenSSH client.

Why the client and not a library: it is the implementation that everybody audits, it starts in 10 ms
where paramiko and asyncssh take 150 and more, and it adds 1 MB to the image. It sees nothing of the
user who runs it: no configuration, no agent, no ~/.ssh, no terminal. See gitprotocol-pack(5).
"""

from __future__ import annotations

import os
import pwd
import select
import subprocess
from collections.abc import Callable

from flow_fetcher.credentials import Credentials
from flow_fetcher.errors import FetchError, SourceUnreachableError
from flow_fetcher.log import Log
from flow_fetcher.sources.git.http import Timeouts
from flow_fetcher.sources.git.pktline import PacketReader
from flow_fetcher.sources.git.private import PrivateFiles
from flow_fetcher.sources.git.spec import GitSpec
from flow_fetcher.sources.git.sshkeys import Login
from flow_fetcher.sources.git.sshwords import explain

_READ = 1 << 17
_REMEMBERED = 1 << 13
_ALONE = (
    "BatchMode=no",  # would refuse passphrases; without a terminal nothing else can be asked
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=/dev/null",
    "UpdateHostKeys=no",
    "CheckHostIP=no",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "PreferredAuthentications=publickey",
    "NumberOfPasswordPrompts=1",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "ControlMaster=no",
    "ControlPath=none",
    "LogLevel=ERROR",
    "SendEnv=GIT_PROTOCOL",
    "ServerAliveInterval=15",
)


class SSH:
    """A repository on an SSH server; one process of `ssh` is one connection.

    Args:
        spec: Where it is.
        credentials: The key, and the keys of the hosts that are known.
        log: Takes lines for people.
        received: Told how many bytes came.
        timeouts: How long to wait.
    """

    stateless = False

    def __init__(
        self,
        spec: GitSpec,
        credentials: Credentials,
        log: Log,
        received: Callable[[int], None],
        timeouts: Timeouts,
    ) -> None:
        assert spec.ssh is not None
        self.url = spec.url
        self._address = spec.ssh
        self._secret_name = credentials.secret_name
        self._log = log
        self._received = received
        self._timeouts = timeouts
        self._files = PrivateFiles()
        self._login = Login(credentials, self._files)
        self._process: subprocess.Popen[bytes] | None = None
        self._reader = PacketReader(self._read)
        self._said = b""

    def advertise(self) -> PacketReader:
        """Connect; the server begins."""
        self._end()
        self._said = b""
        try:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=self._environment(),
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise FetchError(
                "the fetcher's image has no OpenSSH client",
                remedy="Use the project's image, or add the package openssh-client to yours.",
            ) from error
        self._reader = PacketReader(self._read)
        return self._reader

    def request(self, body: bytes, *, version: int, guess: bool) -> PacketReader:
        """Send a request on the connection that there is."""
        assert self._process is not None
        assert self._process.stdin is not None
        view = memoryview(body)
        try:
            while view:
                view = view[self._process.stdin.write(view) :]
        except BrokenPipeError:
            self._log.debug("the server hung up")  # reading tells why
        return self._reader

    def finish(self, reader: PacketReader) -> None:
        """Nothing: the next answer follows this one."""

    def close(self) -> None:
        """Drop the connection, and forget the key."""
        self._end()
        self._files.close()

    def _command(self) -> list[str]:
        at = self._address
        options = [*_ALONE, f"ConnectTimeout={self._timeouts.connect:.0f}", *self._login.options]
        flags = [part for option in options for part in ("-o", option)]
        # As git quotes it: the user's shell on the server sees one word.
        path = "'" + at.path.replace("'", "'\\''").replace("!", "'\\!'") + "'"
        where = ["-p", str(at.port), "-l", at.user, "--", at.host]
        program = ["ssh", "-F", "/dev/null", "-T", "-x", "-a"]
        return [*program, *flags, *where, f"git-upload-pack {path}"]

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        own = {"GIT_PROTOCOL": "version=2", "HOME": "/nonexistent", **self._login.environment}
        return {**kept, **own, **_identity(self._files)}

    def _read(self) -> bytes:
        """What has arrived, at least one byte; empty at the end of a connection that ended well.

        Raises:
            FetchError: The connection broke, stands still, or never came to be.
        """
        assert self._process is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        out, err = self._process.stdout.fileno(), self._process.stderr.fileno()
        poll = select.poll()
        poll.register(out, select.POLLIN)
        poll.register(err, select.POLLIN)
        while True:
            ready = dict(poll.poll(self._timeouts.stall * 1000))
            if not ready:
                raise SourceUnreachableError(
                    f"{self.url} stopped sending for {self._timeouts.stall:.0f} s",
                    remedy="Check the server, and the cluster's network policies.",
                    transient=True,
                )
            if err in ready and not self._listen(err):
                poll.unregister(err)
            if out in ready:
                data = os.read(out, _READ)
                if not data:
                    return self._ended()
                self._received(len(data))
                return data

    def _listen(self, err: int) -> bytes:
        """Take in what `ssh` and the server say; memory keeps the first and the last of it."""
        data = os.read(err, _READ)
        said = self._said + data
        if len(said) > _REMEMBERED:
            said = said[: _REMEMBERED // 2] + said[-_REMEMBERED // 2 :]
        self._said = said
        return data

    def _ended(self) -> bytes:
        assert self._process is not None
        assert self._process.stderr is not None
        try:
            code = self._process.wait(self._timeouts.connect)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        while self._listen(self._process.stderr.fileno()):
            pass
        text = self._said.decode("utf-8", "replace").strip()
        if code == 0:
            self._log.debug(f"server: {text}")
            return b""
        raise explain(
            text,
            code,
            self.url,
            self._address,
            secret_name=self._secret_name,
            encrypted=self._login.encrypted,
        )

    def _end(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        process.kill()
        process.wait()


def _identity(files: PrivateFiles) -> dict[str, str]:
    """A name for our user where it has none: Pods run as any, and `ssh` insists on an entry."""
    user, group = os.getuid(), os.getgid()
    try:
        pwd.getpwuid(user)
    except KeyError:
        users = files.add(f"flow:x:{user}:{group}::/nonexistent:/bin/false\n".encode())
        groups = files.add(f"flow:x:{group}:\n".encode())
        preload = {"LD_PRELOAD": "libnss_wrapper.so"}
        return {**preload, "NSS_WRAPPER_PASSWD": users, "NSS_WRAPPER_GROUP": groups}
    return {}
