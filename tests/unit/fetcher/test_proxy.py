"""The proxy of the environment, with the exceptions that clusters are full of."""

from __future__ import annotations

import pytest

from flow_fetcher.errors import SourceUnreachableError
from flow_fetcher.sources.git.proxy import Proxy, find_proxy

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("scheme", "environment", "found"),
    [
        ("https", {}, False),
        ("https", {"HTTPS_PROXY": PROXY}, True),
        ("https", {"https_proxy": PROXY}, True),
        ("https", {"HTTPS_PROXY": "proxy.example:3128"}, True),
        ("https", {"ALL_PROXY": PROXY}, True),
        ("https", {"http_proxy": PROXY}, False),
        ("http", {"http_proxy": PROXY}, True),
        ("http", {"HTTP_PROXY": PROXY}, False),
        ("http", {"HTTPS_PROXY": PROXY}, False),
        ("https", {"HTTPS_PROXY": ""}, False),
    ],
)
def test_variables(scheme: str, environment: dict[str, str], found: bool) -> None:
    """The same variables as for curl and git."""
    proxy = find_proxy(scheme, "git.example", 443, environment)
    assert proxy == (Proxy("proxy.example", 3128, "", "") if found else None)


@pytest.mark.parametrize(
    ("rules", "host", "excluded"),
    [
        ("*", "git.example", True),
        ("git.example", "git.example", True),
        ("example", "git.example", True),
        (".example", "git.example", True),
        ("*.example", "git.example", True),
        ("GIT.example", "git.EXAMPLE", True),
        ("other.example, git.example", "git.example", True),
        ("git.example:443", "git.example", True),
        ("git.example:8443", "git.example", False),
        ("it.example", "git.example", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "git.example", False),
        ("fd00::/8", "fd00::1", True),
        ("10.1.2.3", "10.1.2.3", True),
        (".svc,.cluster.local", "git.tools.svc.cluster.local", True),
        ("", "git.example", False),
        (",", "git.example", False),
        ("nonsense/99", "git.example", False),
    ],
)
def test_exceptions(rules: str, host: str, excluded: bool) -> None:
    """NO_PROXY takes names, suffixes, ports, addresses and networks."""
    environment = {"HTTPS_PROXY": PROXY, "NO_PROXY": rules}
    assert (find_proxy("https", host, 443, environment) is None) is excluded


def test_password() -> None:
    """A user and password in the URL are decoded."""
    proxy = find_proxy("https", "h", 443, {"HTTPS_PROXY": "http://ada:p%40ss@proxy.example:3128"})
    assert proxy == Proxy("proxy.example", 3128, "ada", "p@ss")


@pytest.mark.parametrize(
    "url", ["socks5://ada:secret@proxy.example", "http://ada:secret@[::1", "http://proxy:secret"]
)
def test_another_kind_of_proxy(url: str) -> None:
    """What is no HTTP proxy is not taken for one, and the password is not told."""
    with pytest.raises(SourceUnreachableError) as caught:
        find_proxy("https", "h", 443, {"ALL_PROXY": url})
    assert "secret" not in caught.value.message + caught.value.remedy
