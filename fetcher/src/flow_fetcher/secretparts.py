"""The secrets within a credential: a JSON key, a connection string and a signed token have several,
and any of them may turn up in a message without the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ACCOUNTS = ("service-account.json", "serviceaccount")
_SHORTEST = 4
"""Shorter values of settings are no secrets: `true`, `eu` and the like."""


def secrets_of(key: str, value: str) -> Iterator[str]:
    """Everything that must not be seen of the value of this key."""
    yield value
    if key in _ACCOUNTS:
        account = _json(value)
        for name in ("private_key", "private_key_id", "refresh_token", "client_secret"):
            yield from _lines(account.get(name))
    elif key == "options.json":
        yield from _leaves(_json(value))
    elif key == "AZURE_STORAGE_CONNECTION_STRING":
        for part in value.split(";"):
            name, _, secret = part.partition("=")
            if name.strip().lower() in ("accountkey", "sharedaccesssignature"):
                yield secret.strip()
                yield from _signature(secret)
    elif key in ("AZURE_STORAGE_SAS_TOKEN", "sasKey"):
        yield value.lstrip("?")
        yield from _signature(value)
    else:
        yield from _lines(value)


def of_environment(environment: Mapping[str, str]) -> Iterator[str]:
    """The passwords of the proxies that the environment names."""
    for name, url in environment.items():
        login, at, _ = url.rpartition("@")
        if at and name.lower().endswith("_proxy"):
            from urllib.parse import unquote

            login = login.partition("://")[2] or login
            yield unquote(login.partition(":")[2])


def _lines(value: Any) -> Iterator[str]:
    """A text of several lines may be shown line by line."""
    if isinstance(value, str):
        yield value
        if "\n" in value:
            yield from (line for line in value.split("\n") if not line.startswith("-----"))


def _signature(token: str) -> Iterator[str]:
    """The part of a shared access signature that is secret."""
    from urllib.parse import unquote

    for part in token.strip().lstrip("?").split("&"):
        name, _, secret = part.partition("=")
        if name == "sig":
            yield unquote(secret)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif isinstance(value, str) and len(value) >= _SHORTEST:
        yield from _lines(value)


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
