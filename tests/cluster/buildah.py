"""Builds images where there is no container engine: buildah, isolated by chroot."""

from __future__ import annotations

import configparser
import contextlib
import os
import tempfile
from pathlib import Path

from tests.cluster import base
from tests.cluster.configuration import snapshotter
from tests.cluster.console import ClusterError, run
from tests.cluster.paths import Settings, cache
from tests.cluster.recipes import Recipe
from tests.cluster.system import IMAGE_PROGRAMS, lock, require


class Buildah:
    """Its storage is in the cache, apart from the machine's own."""

    def __init__(self, settings: Settings) -> None:
        self._root = cache() / "buildah"
        self._run = settings.build_run

    def prepare(self) -> None:
        """Make the base image, unless it is there."""
        require(IMAGE_PROGRAMS)
        with lock("base"):
            if self._has(base.name()):
                return
            if os.environ.get("FLOW_TEST_BASE_IMAGE"):
                self._buildah("pull", base.name())
            else:
                base.make(lambda name, folder: self._bud(name, folder))

    def build(self, recipe: Recipe) -> None:
        """Build an image on the base."""
        if recipe.dockerfile is None:
            self._buildah("tag", base.name(), recipe.full_name)
            return
        with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
            recipe.stage(Path(folder))
            try:
                self._bud(recipe.full_name, Path(folder), recipe.target)
            except ClusterError:
                self.tidy()
                raise

    def export(self, recipe: Recipe, archive: Path) -> None:
        """Write a built image to a docker-archive."""
        name = recipe.full_name
        self._buildah("push", "--quiet", name, f"docker-archive:{archive}:{name}")

    def has(self, recipe: Recipe) -> bool:
        """Whether an image of that name was built."""
        return self._has(recipe.full_name)

    def tidy(self) -> None:
        """Unmount and drop what failed or interrupted builds left."""
        if self._root.exists():
            with contextlib.suppress(ClusterError):
                self._buildah("rm", "--all")

    def _has(self, name: str) -> bool:
        try:
            self._buildah("inspect", "--type", "image", name)
        except ClusterError:
            return False
        return True

    def _bud(self, name: str, context: Path, target: str = "") -> None:
        log = cache() / "log" / f"image-{name.rpartition('/')[2].partition(':')[0]}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
            pip = Path(folder) / "pip.conf"
            _write_pip_settings(pip)
            # The volumes exist while a step runs and leave nothing in the layers: the
            # build reaches its registry just as this machine does.
            mounts = [f"{pip}:/etc/pip.conf:ro", "/etc/ssl/certs:/etc/ssl/certs:ro"]
            self._buildah(
                "bud", "--isolation", "chroot", "--network", "host", "--layers",
                "--format", "docker", "--build-arg", f"BASE_IMAGE={base.name()}",
                *(word for mount in mounts for word in ("--volume", mount)),
                *(["--target", target] if target else []),
                "--file", str(context / "Dockerfile"), "--tag", name, str(context),
                log=log,
            )  # fmt: skip

    def _buildah(self, *arguments: str, log: Path | None = None) -> str:
        storage = ["--root", str(self._root), "--runroot", str(self._run)]
        if snapshotter(self._root) == "overlayfs":
            # skip_mount_home: leave no mount of the storage itself behind.
            driver = ["--storage-driver", "overlay", "--storage-opt", "skip_mount_home=true"]
        else:
            driver = ["--storage-driver", "vfs"]
        return run(["buildah", *storage, *driver, *arguments], log=log)


def _scratch() -> Path:
    folder = cache() / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write_pip_settings(target: Path) -> None:
    """What pip is told on this machine, by files or environment, as one file."""
    settings = configparser.RawConfigParser()
    home = Path.home()
    settings.read(["/etc/pip.conf", home / ".pip/pip.conf", home / ".config/pip/pip.conf"])
    if not settings.has_section("global"):
        settings.add_section("global")
    for option in ("index-url", "extra-index-url", "cert", "timeout", "default-timeout"):
        value = os.environ.get("PIP_" + option.replace("-", "_").upper())
        if value:
            settings.set("global", option, value)
    with target.open("w") as file:
        settings.write(file)
    target.chmod(0o644)
