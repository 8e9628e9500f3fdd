"""Which part of a repository is wanted: some directories, or everything."""

from __future__ import annotations

from flow_fetcher.errors import PathNotFoundError
from flow_fetcher.names import shown


class Scope:
    """The directories of `sparseCheckout`.

    Args:
        directories: Their paths.
    """

    def __init__(self, directories: tuple[bytes, ...]) -> None:
        self._inside = tuple(path + b"/" for path in directories)
        self._missing = set(directories)

    def holds(self, path: bytes) -> bool:
        """Whether a file belongs to it."""
        return path.startswith(self._inside)

    def leads(self, path: bytes) -> bool:
        """Whether something that belongs to it may lie in this directory."""
        self._missing.discard(path)
        below = path + b"/"
        return below.startswith(self._inside) or any(i.startswith(below) for i in self._inside)

    def check(self, label: str) -> None:
        """Make sure that all directories were seen.

        Raises:
            PathNotFoundError: One was not.
        """
        if self._missing:
            names = ", ".join(shown(path) for path in sorted(self._missing))
            raise PathNotFoundError(
                f"sparseCheckout: {label} has no directory {names}",
                remedy="Correct spec.source.git.sparseCheckout; its directories are relative to "
                "the repository's root.",
            )
