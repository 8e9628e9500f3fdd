"""A base image with Python, made from Debian's packages where no registry answers."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.cluster.console import run, step
from tests.cluster.paths import cache

_SUITE = "bookworm"
_PACKAGES = ("ca-certificates", "libnss-wrapper", "openssh-client", "python3", "python3-venv")
_UNNEEDED = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt/archives",
    "var/lib/apt/lists",
    "var/log",
)
_DOCKERFILE = """\
FROM scratch
ADD rootfs.tar /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
CMD ["python3"]
"""


def name() -> str:
    """The base that images are built on: `FLOW_TEST_BASE_IMAGE`, or our own by content."""
    return os.environ.get("FLOW_TEST_BASE_IMAGE") or f"localhost/flow-base:{_digest()}"


def make(build: Callable[[str, Path], None]) -> None:
    """Make the base by debootstrap.

    Args:
        build: Builds an image of that name from a folder with a Dockerfile.
    """
    scratch = cache() / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    log = cache() / "log" / "debootstrap.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        step("make a base image from Debian packages"),
        tempfile.TemporaryDirectory(dir=scratch) as folder,
    ):
        context = Path(folder)
        root = context / "root"
        run(
            [
                "debootstrap",
                "--variant=minbase",
                f"--include={','.join(_PACKAGES)}",
                _SUITE,
                str(root),
                *_mirror(),
            ],
            log=log,
        )
        for folder in _UNNEEDED:
            shutil.rmtree(root / folder, ignore_errors=True)
            (root / folder).mkdir(parents=True)
        (root / "usr/bin/python").symlink_to("python3")
        run(["tar", "-C", root, "--exclude=./dev/*", "-cf", context / "rootfs.tar", "."])
        shutil.rmtree(root)
        (context / "Dockerfile").write_text(_DOCKERFILE)
        build(name(), context)


def _digest() -> str:
    recipe = repr((_SUITE, _PACKAGES, _UNNEEDED, _DOCKERFILE))
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def _mirror() -> list[str]:
    """The mirror that this machine's apt uses for Debian itself, if it says so."""
    folder = Path("/etc/apt")
    files = [*folder.glob("sources.list.d/*.sources"), folder / "sources.list"]
    for file in files:
        text = file.read_text() if file.exists() else ""
        found = re.search(r"^(?:URIs:|deb(?: \[.*?\])?)\s+(\S+/debian/?)(?:\s|$)", text, re.M)
        if found:
            return [found[1]]
    return []
