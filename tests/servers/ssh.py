"""A real OpenSSH server on loopback: one user, whoever runs the tests, with the keys they make."""

from __future__ import annotations

import ctypes
import getpass
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.system import find, require
from tests.servers.process import Process

PROGRAMS = {"/usr/sbin/sshd": "openssh-server", "ssh-keygen": "openssh-client"}


def require_wrapper() -> None:
    """What the fetcher's image has for users without a name."""
    try:
        ctypes.CDLL("libnss_wrapper.so")
    except OSError:
        require({"/usr/share/doc/libnss-wrapper/none": "libnss-wrapper"})


def make_key(path: Path, *, kind: str = "ed25519", passphrase: str = "") -> Path:
    """A private key; the public one lies beside it."""
    require(PROGRAMS)
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


class SSHServer(Process):
    """Lets in whoever has the private key `key`, to run commands as the user of the tests.

    Args:
        protocol: The newest version of git's protocol that is spoken; it takes GIT_PROTOCOL for 2.
        passphrase: What the private key is encrypted with.
    """

    def __init__(self, *, protocol: int = 2, passphrase: str = "") -> None:
        require(PROGRAMS)
        super().__init__()
        self.protocol = protocol
        self.user = getpass.getuser()
        self.key = make_key(self.folder / "user", passphrase=passphrase)
        self.host_key = make_key(self.folder / "host")
        shutil.copy(self.folder / "user.pub", self.folder / "authorized_keys")

    @property
    def url(self) -> str:
        """Repositories lie by their absolute paths below it."""
        return f"ssh://{self.user}@{self.host}:{self.port}"

    @property
    def known_hosts(self) -> str:
        """The line for this server."""
        kind, key, _ = (self.folder / "host.pub").read_text().split()
        return f"[{self.host}]:{self.port} {kind} {key}\n"

    @property
    def secret(self) -> dict[str, str]:
        """What a Secret for this server holds."""
        return {"identity": self.key.read_text(), "known_hosts": self.known_hosts}

    def command(self) -> Sequence[str]:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        settings = {
            "Port": self.port,
            "ListenAddress": self.address,
            "HostKey": self.host_key,
            "AuthorizedKeysFile": self.folder / "authorized_keys",
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "PermitRootLogin": "prohibit-password",
            "LogLevel": "VERBOSE",
        }
        if self.protocol == 2:
            settings["AcceptEnv"] = "GIT_PROTOCOL"
        elif self.protocol == 1:
            settings["SetEnv"] = "GIT_PROTOCOL=version=1"
        text = "".join(f"{name} {value}\n" for name, value in settings.items())
        (self.folder / "config").write_text(text)
        return [str(find("/usr/sbin/sshd")), "-D", "-e", "-f", str(self.folder / "config")]

    @property
    def connections(self) -> int:
        """How many were accepted with the key."""
        return (self.folder / "log").read_text().count("Accepted publickey")
