"""What the words of `ssh`, and of a server behind it, mean for the user."""

from __future__ import annotations

import re

from flow_fetcher.errors import AuthenticationFailedError, FetchError, SourceUnreachableError
from flow_fetcher.sources.git.spec import SSHAddress

_OWN = 255
"""The exit code with which `ssh` says that itself failed, and not the command on the server."""

_NOBODY = re.compile(r"No user exists for uid|libnss_wrapper.so.*cannot be preloaded")
_CHANGED = re.compile(r"REMOTE HOST IDENTIFICATION HAS CHANGED|Offending \w+ key in")
_REVOKED = re.compile(r"is marked as revoked|REVOKED HOST KEY")
_UNKNOWN = re.compile(r"No \S+ host key is known|Host key verification failed")
_BAD_KEY = re.compile(r"Load key |invalid format|error in libcrypto", re.IGNORECASE)
_REFUSED = re.compile(r"Permission denied|Too many authentication failures|not allowed")
_NEGOTIATION = re.compile(r"Unable to negotiate|no matching|Bad server host key|key_verify failed")
_ABSENT = re.compile(
    r"not found|could not be found|does not exist|doesn't exist|do(?:es)?n.t have permission"
    r"|access denied|unauthorized",
    re.IGNORECASE,
)
_NO_REPOSITORY = re.compile(r"does not appear to be a git repository|not a git repository|No such")
_NOISE = re.compile(r"(?m)^(?:@+\s*$|@ .*|ssh: |fatal: |remote: |ERROR: |=+\s*$|\s*)")
_LONGEST = 300


def explain(
    text: str, code: int, url: str, address: SSHAddress, *, secret_name: str | None, encrypted: bool
) -> FetchError:
    """The error for a connection that ended badly.

    Args:
        text: What `ssh` and the server wrote.
        code: The exit code.
        url: The repository.
        address: Where that is.
        secret_name: The Secret with the key.
        encrypted: Whether the key has a passphrase, about which `ssh` says nothing.
    """
    said = " ".join(_NOISE.sub("", text).split())[:_LONGEST] or f"exit code {code}"
    if code != _OWN:
        return _explain_command(said, text, url)
    where = f"{address.host}:{address.port}"
    if _NOBODY.search(text):
        return FetchError(
            f"ssh needs an entry for this container's user: {said}",
            remedy="Use the project's image, or add the package libnss-wrapper to yours.",
        )
    if _CHANGED.search(text):
        return SourceUnreachableError(
            f"the host key of {where} is not the one that known_hosts of Secret {secret_name} has: "
            "the server was set up anew, or somebody stands in between",
            remedy="Ask the server's owner for the new key's fingerprint; only if it matches, "
            "replace the host's line in known_hosts.",
        )
    if _REVOKED.search(text):
        return SourceUnreachableError(
            f"known_hosts of Secret {secret_name} marks the host key of {where} as revoked",
            remedy="Do not connect until the server has another key, and known_hosts that one.",
        )
    if _UNKNOWN.search(text):
        port = f"-p {address.port} " if address.port != 22 else ""
        return SourceUnreachableError(
            f"known_hosts of Secret {secret_name} has no key of {where} of the kind that it shows",
            remedy=f"Run `ssh-keyscan {port}{address.host}`, compare what it prints with what the "
            "server's owner publishes, and add it to known_hosts.",
        )
    if _REFUSED.search(text) and not _BAD_KEY.search(text):
        return AuthenticationFailedError(
            f"{where} refuses user {address.user} with the SSH key of Secret {secret_name}"
            + (", or its `password` is not the key's passphrase" if encrypted else ""),
            remedy="Add the public key to the repository's deploy keys or to the user's keys on "
            "the server, and check the user in the URL: it is `git` on most servers.",
        )
    if _BAD_KEY.search(text):
        return AuthenticationFailedError(
            f"the SSH key of Secret {secret_name} cannot be read: {said}",
            remedy="Store the whole file that ssh-keygen wrote; its passphrase, if it has one, "
            "goes under `password`.",
        )
    final = _NEGOTIATION.search(text) is not None
    return SourceUnreachableError(
        f"no connection to {where} over SSH: {said}",
        remedy="The server and OpenSSH have no algorithm in common: update the server."
        if final
        else "Check the URL, the server, and the cluster's DNS and network policies.",
        transient=not final,
    )


def _explain_command(said: str, text: str, url: str) -> FetchError:
    if _NO_REPOSITORY.search(text):
        return SourceUnreachableError(
            f"{url} is no git repository on its server: {said}",
            remedy="Check the path in the URL: after host: it is relative to the user's home, "
            "after ssh://host it begins at the root.",
        )
    if _ABSENT.search(text):
        return AuthenticationFailedError(
            f"{url} is refused: {said}",
            remedy="Check the URL. Many servers say the same for a repository that the key may not "
            "read: add the public key to the repository's deploy keys.",
        )
    return SourceUnreachableError(
        f"{url}: the server's git failed: {said}", remedy="Look at the git server's log."
    )
