"""The credentials: files of a mounted Secret, under the keys that people already have.

Values leave this module only towards the server, and every secret one is known to the redactor
before anything else happens.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from flow_fetcher.errors import AuthenticationFailedError, FetchError, SecretNotFoundError
from flow_fetcher.redact import Redactor
from flow_fetcher.secretparts import secrets_of

KEYS = (
    "username",
    "password",
    "token",
    "bearerToken",
    "identity",
    "ssh-privatekey",
    "known_hosts",
    "ca.crt",
    "tls.crt",
    "tls.key",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "service-account.json",
    "serviceaccount",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "accountKey",
    "sasKey",
    "tenantId",
    "clientId",
    "clientSecret",
    "options.json",
)
_PUBLIC = frozenset(
    {
        "username", "known_hosts", "ca.crt", "tls.crt", "AZURE_TENANT_ID", "AZURE_CLIENT_ID",
        "tenantId", "clientId",
    }
)  # fmt: skip
_LARGEST = 1 << 20
_TELLING_USERNAME = 20
"""A user name of this length may be a token: some hosts take one there."""


class Credentials:
    """What the Secret holds, by key; shows no value when it is printed.

    Args:
        values: Key → value; empty ones count as missing.
        secret_name: The Secret's name, for messages; None where no credentials were asked for.
        directory: Where the keys lie as files, for libraries that read files only.
        found: Every key of the Secret, known or not.
    """

    def __init__(
        self,
        values: Mapping[str, str],
        secret_name: str | None = None,
        directory: Path | None = None,
        found: tuple[str, ...] = (),
    ) -> None:
        self._values = {key: value for key, value in values.items() if value}
        self._directory = directory
        self._found = found
        self.secret_name = secret_name

    def __repr__(self) -> str:
        return f"Credentials({', '.join(sorted(self._values)) or 'none'})"

    def get(self, key: str) -> str | None:
        """The value of a key, or None."""
        return self._values.get(key)

    def has(self, *keys: str) -> bool:
        """Whether each of these keys has a value."""
        return all(key in self._values for key in keys)

    def line(self, key: str) -> str | None:
        """The value of a key that must be one line, for it goes into a header.

        Raises:
            AuthenticationFailedError: It has a line break or another control character.
        """
        value = self._values.get(key)
        if value is not None and any(ord(char) < 32 or ord(char) == 127 for char in value):
            raise AuthenticationFailedError(
                f"key {key} of Secret {self.secret_name} has a line break or control character",
                remedy=f"Store {key} as one line.",
            )
        return value

    def file(self, key: str) -> Path | None:
        """The file of a key, or None where it has no value."""
        return self._directory / key if self._directory and key in self._values else None

    def require(self, wanted: str, *choices: tuple[str, ...]) -> None:
        """Make sure that the Secret, if one was asked for, has the keys of one of the choices.

        Args:
            wanted: The keys that would do, as a sentence for people.
            choices: Each is a set of keys that suffices.

        Raises:
            SecretNotFoundError: None of the choices is complete.
        """
        if self.secret_name is None or any(self.has(*keys) for keys in choices):
            return
        has = f"it has {', '.join(self._found)}" if self._found else "it has no keys"
        raise SecretNotFoundError(
            f"Secret {self.secret_name} lacks the keys that the source needs: {has}",
            remedy=f"Give Secret {self.secret_name} {wanted}.",
        )


def read_credentials(
    directory: Path | None, secret_name: str | None, redactor: Redactor, wanted: str
) -> Credentials:
    """Read the mounted Secret and tell the redactor of it.

    Args:
        directory: Where the Secret is mounted; absent or empty when there is no such Secret.
        secret_name: The Secret that was asked for, or None.
        redactor: Learns every secret value.
        wanted: The keys that the source can use, as a sentence for people.

    Raises:
        SecretNotFoundError: A Secret was asked for, and nothing is mounted.
        FetchError: A file cannot be read.
    """
    if secret_name is None:
        return Credentials({})
    found = _list(directory)
    if directory is None or not found:
        raise SecretNotFoundError(
            f"Secret {secret_name} does not exist in the run's namespace, or has no keys",
            remedy=f"Create Secret {secret_name} with {wanted}.",
        )
    values = {key: _read(directory / key, key, secret_name) for key in KEYS if key in found}
    credentials = Credentials(values, secret_name, directory, tuple(found))
    _teach(redactor, credentials)
    return credentials


def _list(directory: Path | None) -> list[str]:
    """The keys; the kubelet keeps its own links beside them, and their names begin with two
    dots."""
    try:
        names = sorted(os.listdir(directory)) if directory else []
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _unreadable(str(directory), error) from error
    return [name for name in names if not name.startswith("..")]


def _read(path: Path, key: str, secret_name: str) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST)
        return raw.decode().rstrip("\r\n")
    except OSError as error:
        raise _unreadable(str(path), error) from error
    except UnicodeDecodeError:
        raise SecretNotFoundError(
            f"key {key} of Secret {secret_name} is not text",
            remedy=f"Store {key} as text; under `data` the value is base64-encoded once.",
        ) from None


def _unreadable(path: str, error: OSError) -> FetchError:
    return FetchError(
        f"cannot read the mounted Secret at {path}: {error.strerror}",
        remedy="Leave fsGroup to the operator's default, or let the container's user read it.",
    )


def _teach(redactor: Redactor, credentials: Credentials) -> None:
    for key in KEYS:
        value = credentials.get(key)
        if value and (
            key not in _PUBLIC or (key == "username" and len(value) >= _TELLING_USERNAME)
        ):
            for secret in secrets_of(key, value):
                redactor.add(secret)
    username, password = credentials.get("username"), credentials.get("password")
    if username and password:
        redactor.add(f"{username}:{password}")
