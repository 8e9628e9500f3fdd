"""The HTTP proxy that the environment asks for, with the rules that curl and git follow."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from flow_fetcher.errors import SourceUnreachableError
from flow_fetcher.record import Record


class Proxy(Record):
    """Where requests go instead; `user` and `password` are empty where it wants none."""

    host: str
    port: int
    user: str
    password: str


def find_proxy(scheme: str, host: str, port: int, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy for a server, or None.

    `HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY` count in either case, but for `HTTP_PROXY`, which
    counts in small letters alone as elsewhere; `NO_PROXY` takes names, suffixes, addresses and
    networks.

    Raises:
        SourceUnreachableError: The variable holds something else than an HTTP proxy.
    """
    names = [f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY"]
    url = next((environment[n] for n in names if environment.get(n) and n != "HTTP_PROXY"), "")
    if not url or _excluded(
        host, port, environment.get("no_proxy") or environment.get("NO_PROXY", "")
    ):
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or 80
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme != "http" or not parts.hostname:
        raise SourceUnreachableError(
            f"the proxy of the environment for {scheme}:// is no http:// proxy",
            remedy="Set HTTPS_PROXY to http://host:port in the fetch container.",
        )
    return Proxy(
        parts.hostname,
        port,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )


def _excluded(host: str, port: int, rules: str) -> bool:
    for rule in (part.strip().lower() for part in rules.split(",")):
        name, colon, digits = rule.rpartition(":")
        if colon and digits.isdigit() and "]" not in digits and ":" not in name:
            if int(digits) != port:
                continue
            rule = name  # noqa: PLW2901
        suffix = rule.lstrip("*").lstrip(".")
        if rule == "*" or (
            suffix and (host.lower() == suffix or host.lower().endswith("." + suffix))
        ):
            return True
        if "/" in rule and _within(host, rule):
            return True
    return False


def _within(host: str, network: str) -> bool:
    import ipaddress  # only a rule with a network needs it

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
