"""Which options a file system gets: tuned ones, the deployment's, and the Secret's."""

from __future__ import annotations

import json
import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow_fetcher.credentials import Credentials
from flow_fetcher.errors import AuthenticationFailedError, InvalidPlanError
from flow_fetcher.sources import Fetch
from flow_fetcher.sources.azure import CONNECTION
from flow_fetcher.sources.fsspec.errors import FULL_IMAGE
from flow_fetcher.sources.gcs import POD_TOKEN, service_account

if TYPE_CHECKING:
    from flow_fetcher.sources.fsspec import FsspecSource

THREADS = 16
"""How many requests are under way, where a file system can do several at a time."""
_S3 = ("s3", "s3a")
_GOOGLE = ("gs", "gcs")
_AZURE = ("abfs", "abfss", "az")
_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - where Google gives out tokens


def open_filesystem(source: FsspecSource, fetch: Fetch) -> tuple[Any, str]:
    """The file system and the folder's path in it.

    Raises:
        FetchError: An option is wrong, or a package is missing.
    """
    credentials = fetch.credentials
    _trust(credentials, fetch.scratch)
    # gcsfs asks over gRPC which kind a bucket is, and waits a minute for servers without it.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise _missing(source.protocol, error) from error
    free = _free(source, credentials)
    options = {
        "skip_instance_cache": True,
        "use_listings_cache": False,
        **_tuned(source.protocol),
        **source.options,
        **_known(source.protocol, {**source.options, **free}, credentials),
        **free,
    }
    fetch.log.info(f"reading {source.url} through fsspec")
    try:
        filesystem, path = url_to_fs(source.address, **options)
    except ImportError as error:
        raise _missing(source.protocol, error) from error
    except ValueError as error:
        if "Protocol not known" in str(error):
            raise _missing(source.protocol, error) from error
        raise _wrong(source, error) from error
    except TypeError as error:
        raise _wrong(source, error) from error
    return filesystem, path.rstrip("/")


def _tuned(protocol: str) -> dict[str, Any]:
    """Short waits, and as many connections as there are threads."""
    if protocol in _S3:
        retries = {"max_attempts": 3, "mode": "standard"}
        timeouts = {"connect_timeout": 5, "read_timeout": 20}
        return {
            "config_kwargs": {**timeouts, "retries": retries, "max_pool_connections": THREADS},
            "default_fill_cache": False,
        }
    if protocol in _GOOGLE:
        return {"requests_timeout": 20}
    if protocol in _AZURE:
        return {"connection_timeout": 5, "read_timeout": 20, "max_concurrency": 1}
    return {}


def _known(protocol: str, given: dict[str, Any], credentials: Credentials) -> dict[str, Any]:
    """Options from the keys of a Secret that the other sources take as well; without any, and
    without an identity, nothing is signed."""
    if protocol in _S3:
        return _s3(given, credentials)
    if protocol in _GOOGLE:
        return _google(given, credentials)
    if protocol in _AZURE:
        return _azure(given, credentials)
    found = {name: credentials.line(name) for name in ("username", "password", "token")}
    return {name: value for name, value in found.items() if value}


def _s3(given: dict[str, Any], credentials: Credentials) -> dict[str, Any]:
    names = {
        "key": "AWS_ACCESS_KEY_ID",
        "secret": "AWS_SECRET_ACCESS_KEY",
        "token": "AWS_SESSION_TOKEN",
    }
    found = {name: credentials.line(key) for name, key in names.items()}
    if found["key"] and found["secret"]:
        return {name: value for name, value in found.items() if value}
    ambient = any(name.startswith(("AWS_WEB_", "AWS_CONTAINER_")) for name in os.environ)
    return {} if ambient or given.keys() & {"anon", "key", "profile", "session"} else {"anon": True}


def _google(given: dict[str, Any], credentials: Credentials) -> dict[str, Any]:
    account = service_account(credentials)
    if account is not None:
        return {"token": {**account, "token_uri": _TOKEN_URI}}
    if "token" in given:
        return {}
    if os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        return {"token": "google_default"}
    return {"token": "cloud" if POD_TOKEN.exists() else "anon"}


def _azure(given: dict[str, Any], credentials: Credentials) -> dict[str, Any]:
    choices = {
        "connection_string": (CONNECTION,),
        "account_key": ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY", "accountKey"),
        "sas_token": ("AZURE_STORAGE_SAS_TOKEN", "sasKey"),
        "tenant_id": ("AZURE_TENANT_ID", "tenantId"),
        "client_id": ("AZURE_CLIENT_ID", "clientId"),
        "client_secret": ("AZURE_CLIENT_SECRET", "clientSecret"),
    }
    found = {
        name: value
        for name, keys in choices.items()
        for key in reversed(keys)
        if (value := credentials.line(key))
    }
    if found or given.keys() & {*choices, "anon", "credential"}:
        return found
    return {"anon": not os.environ.get("AZURE_FEDERATED_TOKEN_FILE")}


def _free(source: FsspecSource, credentials: Credentials) -> dict[str, Any]:
    """Any option, from `options.json` of the Secret."""
    from flow_fetcher.sources.fsspec import is_plain

    text = credentials.get("options.json")
    if text is None:
        return {}
    try:
        options = json.loads(text)
    except (ValueError, RecursionError):
        options = None
    problem = "must be a JSON object"
    if isinstance(options, dict):
        if source.insecure or not is_plain(options):
            return options
        problem = "sends credentials over plain HTTP"
    raise AuthenticationFailedError(
        f"key options.json of Secret {credentials.secret_name} {problem}",
        remedy="Store the file system's options by name, with addresses of https:// or, on "
        "purpose, insecure: true in the source.",
    )


def _trust(credentials: Credentials, scratch: Path) -> None:
    """Make every library trust the Secret's authority, beside those that it trusts already."""
    authority = credentials.get("ca.crt")
    if not authority:
        return
    known = ssl.get_default_verify_paths().cafile
    bundle = scratch / "authorities.pem"
    bundle.write_text((Path(known).read_text() if known else "") + "\n" + authority + "\n")
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"):
        os.environ[name] = str(bundle)


def _missing(protocol: str, error: Exception) -> InvalidPlanError:
    return InvalidPlanError(
        f"this fetcher has no file system for {protocol}://: {error}", remedy=FULL_IMAGE
    )


def _wrong(source: FsspecSource, error: Exception) -> InvalidPlanError:
    return InvalidPlanError(
        f"the file system of {source.protocol}:// does not take these options: {error}",
        remedy="Correct spec.source.fsspec.options, or options.json of the Secret.",
    )
