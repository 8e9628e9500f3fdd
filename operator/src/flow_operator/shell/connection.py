"""How to reach the API server: address, TLS, credentials; in a Pod or from a kubeconfig."""

import asyncio
import contextlib
import os
import ssl
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client.configuration import Configuration

config: Any = kubernetes_config  # its functions have no types

_REFRESH_SECONDS = 60
_KEPT_SECONDS = 75
"""For how long an idle connection is kept: from one full minute, when schedules are due, to the
next. The API server itself closes it after 90 s."""


class NoServerError(Exception):
    """There is no way to reach an API server: no configuration, or one that cannot be used."""


class Connection:
    """The way to one API server. Sessions made from it carry fresh credentials by themselves.

    A projected token is read again every minute, an exec plugin is asked again when what it said
    expires: both by the loaders of the `kubernetes` package.
    """

    def __init__(self, configuration: Configuration, loader: Any = None) -> None:
        self.server: str = configuration.host.rstrip("/")
        self._configuration = configuration
        self._ssl = _ssl_context(configuration)
        self._refresher = (
            asyncio.create_task(_refresh(loader, configuration)) if loader is not None else None
        )

    @classmethod
    async def load(cls, kubeconfig: str | None = None, context: str | None = None) -> "Connection":
        """Return the connection that the environment asks for.

        KUBECONFIG wins; then the ServiceAccount of the Pod; then the user's own kubeconfig.

        Args:
            kubeconfig: A file to use whatever the environment says.
            context: Which context of it; the current one unless given.

        Raises:
            NoServerError: None of them is there, or the one that is cannot be read.
        """
        configuration = Configuration()
        try:
            chosen = kubeconfig or os.environ.get("KUBECONFIG")
            if not chosen and os.environ.get("KUBERNETES_SERVICE_HOST"):
                config.load_incluster_config(client_configuration=configuration)
                return cls(configuration)
            if not chosen and not _has_kubeconfig():
                raise NoServerError(
                    "Which API server? Set KUBECONFIG, or run in a Pod with a ServiceAccount."
                )
            loader = await config.load_kube_config(
                chosen, context, client_configuration=configuration, persist_config=False
            )
            return cls(configuration, loader)
        except (config.ConfigException, OSError, ValueError, TypeError) as error:
            where = f"KUBECONFIG={chosen}" if chosen else "the configuration of this environment"
            raise NoServerError(f"{where} does not lead to an API server: {error}") from error

    def session(
        self, response_class: type[aiohttp.ClientResponse] = aiohttp.ClientResponse
    ) -> aiohttp.ClientSession:
        """Return a new session, for the running event loop. Who asked for it closes it."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._ssl, keepalive_timeout=_KEPT_SECONDS),
            headers={"User-Agent": user_agent()},
            middlewares=(self._authenticate,),
            proxy=self._configuration.proxy or None,
            response_class=response_class,
        )

    def close(self) -> None:
        """Stop refreshing credentials."""
        if self._refresher:
            self._refresher.cancel()

    async def _authenticate(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        token = await self._configuration.get_api_key_with_prefix(
            "BearerToken", alias="authorization"
        )
        if token:
            request.headers["Authorization"] = token
        if self._configuration.tls_server_name:
            request.server_hostname = self._configuration.tls_server_name
        return await handler(request)


def user_agent() -> str:
    """Return how the operator introduces itself."""
    return f"flow-operator/{installed_version()}"


def installed_version() -> str:
    """Return the version of the installed distribution."""
    try:
        return version("flow-operator")
    except PackageNotFoundError:
        return "0"


def _has_kubeconfig() -> bool:
    return Path("~/.kube/config").expanduser().exists()


async def _refresh(loader: Any, configuration: Configuration) -> None:
    with contextlib.suppress(TypeError):  # a kubeconfig without a user has nothing to refresh
        await config.refresh_token(loader, configuration, interval=_REFRESH_SECONDS)


def _ssl_context(configuration: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cafile=configuration.ssl_ca_cert, cadata=configuration.ca_cert_data
    )
    # Certificate authorities of clusters often lack the extensions that Python 3.13 asks for;
    # kubectl and every other client of Kubernetes accept them.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
