"""Where unpacked entries go: paths are cleaned, stripped and handed to the safe writer, and an
archive that grows out of all proportion is a bomb."""

from __future__ import annotations

from flow_fetcher.errors import SourceRejectedError
from flow_fetcher.log import human_size
from flow_fetcher.names import check_name, rejected, shown
from flow_fetcher.tree import FileSink, TreeWriter

_RATIO = 200
_ANY_RATIO = 256 << 20
"""Below this size no ratio matters: text may shrink a lot, and it does no harm."""
LONGEST_NAME = 1 << 16
"""No entry's metadata may be longer."""


class Output:
    """Takes the entries of one archive.

    Args:
        tree: Takes the files.
        url: What to call the archive in messages.
        strip: How many leading directories of each path are dropped.
    """

    def __init__(self, tree: TreeWriter, url: str, strip: int) -> None:
        self._tree = tree
        self._strip = strip
        self.url = url
        self.received = 0

    def path(self, name: bytes) -> bytes | None:
        """The path in the tree of an entry, or None where nothing is left of it.

        Raises:
            SourceRejectedError: It is absolute, or leads upwards.
        """
        if name.startswith(b"/"):
            raise rejected(name, "is absolute")
        parts = [part for part in name.split(b"/") if part not in (b"", b".")]
        if b".." in parts:
            raise rejected(name, "has a component '..'")
        return b"/".join(parts[self._strip :]) or None

    def directory(self, path: bytes) -> None:
        """Make a directory."""
        self._tree.directory(path)

    def write(self, path: bytes, data: bytes, *, executable: bool) -> None:
        """Make a small file."""
        self._tree.write(path, data, executable=executable)

    def create(self, path: bytes, *, executable: bool) -> FileSink:
        """Make a file whose content comes piece by piece."""
        return self._tree.create(path, executable=executable)

    def symlink(self, path: bytes, target: bytes) -> None:
        """Make a symbolic link."""
        self._tree.symlink(path, target)

    def hard_link(self, path: bytes, name: bytes) -> None:
        """Make a copy of an earlier file: a link would let one path change the other.

        Raises:
            SourceRejectedError: There is no such file in this archive.
        """
        source = self.path(name)
        for part in (source or b"").split(b"/"):
            check_name(part, name)
        assert source is not None
        try:
            self._tree.copy(source, path)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise rejected(
                path, f"is a hard link to {shown(name)}, which is no file before it in the archive"
            ) from None
        self.grown(self._tree.size)

    def grown(self, size: int) -> None:
        """Make sure that what came out so far is in proportion to what came in.

        Raises:
            SourceRejectedError: It is not.
        """
        if size > _ANY_RATIO and size > _RATIO * self.received:
            raise SourceRejectedError(
                f"archive {self.url} unpacks {human_size(self.received)} to more than "
                f"{human_size(size)}: it is taken for a bomb",
                remedy=f"Pack it anew; no more than {_RATIO} times its size may come out of it.",
            )

    def broken(self, problem: str) -> SourceRejectedError:
        """The error for an archive that cannot be unpacked."""
        return broken(self.url, problem)


def broken(url: str, problem: str) -> SourceRejectedError:
    """The error for an archive that cannot be unpacked."""
    return SourceRejectedError(
        f"archive {url} cannot be unpacked: {problem}", remedy="Make it anew and upload it again."
    )
