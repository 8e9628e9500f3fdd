"""The two images of the fetcher: what is in the small one is in the large one, and no more than it
needs."""

from __future__ import annotations

import re
from pathlib import Path

FETCHER = Path(__file__).parents[3] / "fetcher"


def pins(name: str) -> dict[str, str]:
    """Package → version of a lock file."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", (FETCHER / name).read_text(), re.MULTILINE))


def test_the_full_image_has_the_same_versions_and_more() -> None:
    """A source that both images serve behaves the same in both."""
    small, full = pins("requirements.lock"), pins("full.lock")
    assert small.items() <= full.items()
    assert {"fsspec", "s3fs", "gcsfs", "adlfs"} <= full.keys()


def test_the_default_image_stays_small() -> None:
    """Whoever adds a package to every run's image has to say so here."""
    known = {"backports-zstd", "isal", "obstore", "typing-extensions"}
    assert pins("requirements.lock").keys() <= known


def test_no_lock_names_a_registry() -> None:
    """Where packages come from is for the machine that installs them."""
    locks = [*FETCHER.glob("*.lock"), FETCHER.parent / "tests/servers/azurite/package-lock.json"]
    for lock in locks:
        assert '"resolved"' not in lock.read_text()
        assert "index-url" not in lock.read_text()
