"""The images that the tests use: what each is built from, and its content's digest."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.binaries import tool
from tests.cluster.paths import HERE, REPOSITORY

_NOT_SOURCES = {"__pycache__", ".venv", "dist", "build"}


@dataclass(frozen=True)
class Recipe:
    """One image.

    Args:
        name: Its name without a tag.
        dockerfile: Its Dockerfile; None for the base itself under a second name.
        folder: The root of the build context.
        sources: The paths below it that the build reads.
        programs: Programs of ours that the build reads too.
        target: The stage of the Dockerfile; empty for its last.
    """

    name: str
    dockerfile: Path | None
    folder: Path = REPOSITORY
    sources: tuple[str, ...] = ()
    programs: tuple[str, ...] = field(default=())
    target: str = ""

    @property
    def tag(self) -> str:
        """The name that Pods use."""
        return f"{self.name}:dev"

    @property
    def full_name(self) -> str:
        """The tag as a container runtime writes it out."""
        return f"docker.io/library/{self.tag}"

    def digest(self, base: str) -> str:
        """Of everything the image depends on."""
        digest = hashlib.sha256(f"{self.name} {base} {self.programs} {self.target}".encode())
        for path, source in self._files():
            executable = os.access(source, os.X_OK)
            digest.update(f"{path.as_posix()} {executable}\0".encode() + source.read_bytes())
        for program in self.programs:
            digest.update(str(tool(program).parent.name).encode())
        return digest.hexdigest()[:16]

    def stage(self, target: Path) -> None:
        """Copy the build context, its times made equal: they would spoil layers' caching."""
        for path, source in self._files():
            copy = target / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)
        for program in self.programs:
            shutil.copy(tool(program), target / program)
        for path in [*target.rglob("*"), target]:
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
            os.utime(path, (0, 0))

    def _files(self) -> Iterator[tuple[Path, Path]]:
        """(path in the context, file), in a stable order."""
        if self.dockerfile:
            yield Path("Dockerfile"), self.dockerfile
        for source in self.sources:
            root = self.folder / source
            for file in sorted(root.rglob("*")) if root.is_dir() else [root]:
                relative = file.relative_to(self.folder)
                if file.is_file() and not _NOT_SOURCES & set(relative.parts):
                    yield relative, file


def _ours(folder: str, suffix: str = "", *locks: str, target: str = "") -> Recipe:
    # tests and notes beside the sources must not rebuild the image
    parts = ("build.lock", "requirements.lock", "pyproject.toml", "src", *locks)
    return Recipe(
        name=f"flow-{folder}{suffix}",
        dockerfile=REPOSITORY / folder / "Dockerfile",
        sources=tuple(f"{folder}/{part}" for part in parts),
        target=target,
    )


RECIPES = (
    _ours("operator"),
    _ours("fetcher", target="default"),
    Recipe("flow-test-python", dockerfile=None),
    Recipe(
        "flow-test-servers",
        dockerfile=HERE / "images/servers/Dockerfile",
        folder=HERE / "images/servers",
        sources=("gitconfig", "serve-git"),
        programs=("versitygw",),
    ),
)
"""The images that every cluster has."""

EXTRA = (_ours("fetcher", "-full", "full.lock", target="full"),)
"""Those that are built when a test asks for them."""
