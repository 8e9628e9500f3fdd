"""What every store's constructor finds in the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow_fetcher.credentials import Credentials
from flow_fetcher.sources import bucket
from flow_fetcher.sources.s3 import S3Source


@pytest.mark.parametrize(
    ("bundled", "before", "after"),
    [
        (True, {}, {"SSL_CERT_FILE": "bundle.crt", "SSL_CERT_DIR": "/nonexistent"}),
        (False, {}, {}),
        (True, {"SSL_CERT_FILE": "own.crt"}, {"SSL_CERT_FILE": "own.crt"}),
        (True, {"SSL_CERT_DIR": "own"}, {"SSL_CERT_DIR": "own"}),
    ],
)
def test_authorities(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bundled: bool,
    before: dict[str, str],
    after: dict[str, str],
) -> None:
    """Each authority is read once, unless the environment says what to read."""
    monkeypatch.chdir(tmp_path)
    if bundled:
        Path("bundle.crt").touch()
    environment = dict(before)
    monkeypatch.setattr("os.environ", environment)
    monkeypatch.setattr(bucket, "_AUTHORITIES", "bundle.crt")
    content = bucket.Content(prefix="", key="", strip=0, revision=None)
    source = S3Source(content=content, endpoint="", bucket="flows", region="")
    source.make(Credentials({}), lambda name, **options: name, "flows", config={})
    assert {name: environment[name] for name in environment if name.startswith("SSL")} == after
