"""Who we are over SSH, and whom we trust: from the Secret alone, as options for `ssh`."""

from __future__ import annotations

from binascii import a2b_base64

from flow_fetcher.credentials import Credentials
from flow_fetcher.errors import AuthenticationFailedError, SecretNotFoundError
from flow_fetcher.sources.git.private import PrivateFiles
from flow_fetcher.sources.git.spec import SSHAddress

_MAGIC = b"openssh-key-v1\0"
WANTED_KEYS = (
    "keys `identity` (or `ssh-privatekey`) and `known_hosts`; `password` if the key has a "
    "passphrase"
)


class Login:
    """The options and environment with which `ssh` logs in.

    Args:
        credentials: Has the key and the known hosts.
        files: Takes them, for `ssh` reads files alone.

    Raises:
        AuthenticationFailedError: The key is none.
    """

    def __init__(self, credentials: Credentials, files: PrivateFiles) -> None:
        key = credentials.get("identity") or credentials.get("ssh-privatekey") or ""
        if "PRIVATE KEY-----" not in key:
            raise AuthenticationFailedError(
                f"the SSH key of Secret {credentials.secret_name} is no private key",
                remedy="Store the whole file that ssh-keygen wrote, not the one that ends in .pub.",
            )
        passphrase = credentials.line("password")
        self.encrypted = _is_encrypted(key)
        if self.encrypted and not passphrase:
            raise AuthenticationFailedError(
                f"the SSH key of Secret {credentials.secret_name} has a passphrase",
                remedy="Store the passphrase under `password`, or a key without one.",
            )
        hosts = files.add(_text(credentials.get("known_hosts") or ""))
        self.options = [f"IdentityFile={files.add(_text(key))}", f"UserKnownHostsFile={hosts}"]
        self.environment = {"SSH_ASKPASS_REQUIRE": "never"}
        if self.encrypted:
            # ssh takes a passphrase from a program alone.
            answer = files.add(f"{passphrase}\n".encode())
            program = files.add(f"#!/bin/sh\nexec cat {answer}\n".encode(), executable=True)
            self.environment = {"SSH_ASKPASS_REQUIRE": "force", "SSH_ASKPASS": program}
            self.environment["DISPLAY"] = "none"


def require_keys(credentials: Credentials, address: SSHAddress) -> None:
    """Make sure that the Secret has what SSH needs.

    Raises:
        SecretNotFoundError: A key is missing.
    """
    if not credentials.has("known_hosts") and (
        credentials.has("identity") or credentials.has("ssh-privatekey")
    ):
        port = f"-p {address.port} " if address.port != 22 else ""
        raise SecretNotFoundError(
            f"Secret {credentials.secret_name} has no key known_hosts, without which nobody could "
            f"tell {address.host} from an impostor",
            remedy=f"Run `ssh-keyscan {port}{address.host}`, compare what it prints with what the "
            "server's owner publishes, and store it under known_hosts.",
        )
    credentials.require(WANTED_KEYS, ("identity",), ("ssh-privatekey",))


def _is_encrypted(key: str) -> bool:
    """Whether a private key, in OpenSSH's own form or in PEM, opens with a passphrase only."""
    head, _, body = key.partition("PRIVATE KEY-----")
    if not head.endswith("OPENSSH "):
        return head.endswith("ENCRYPTED ") or "ENCRYPTED" in body
    try:
        raw = a2b_base64(body.partition("-----")[0].strip())
    except ValueError:
        return False
    # Behind the magic word comes the name of the cipher, with its length.
    return raw.startswith(_MAGIC) and raw[len(_MAGIC) + 4 :][:4] != b"none"


def _text(value: str) -> bytes:
    """A file's text as it was: with one line feed at its end, and no carriage returns."""
    return value.replace("\r\n", "\n").encode() + b"\n"
