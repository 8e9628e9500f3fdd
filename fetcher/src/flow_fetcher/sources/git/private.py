"""Private files for another program: in memory, for keys must not come to lie on a disk."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self


class PrivateFiles:
    """Files that only processes of this user can open, and that end with their `with`.

    On Linux they have no name but the one that leads through this process; elsewhere, where runs
    are tried out on a developer's machine, they lie in a temporary directory.
    """

    def __init__(self) -> None:
        self._descriptors: list[int] = []
        self._directory: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, content: bytes, *, executable: bool = False) -> str:
        """The path of a file with this content."""
        mode = 0o700 if executable else 0o600
        if not hasattr(os, "memfd_create"):
            return self._add_on_disk(content, mode)
        writable = os.memfd_create("flow-fetcher", os.MFD_CLOEXEC)
        try:
            os.fchmod(writable, mode)
            os.write(writable, content)
            # What is open for writing cannot be executed.
            readable = os.open(f"/proc/self/fd/{writable}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(writable)
        self._descriptors.append(readable)
        return f"/proc/{os.getpid()}/fd/{readable}"

    def close(self) -> None:
        """Let them go."""
        while self._descriptors:
            os.close(self._descriptors.pop())
        if self._directory is not None:
            import shutil

            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def _add_on_disk(self, content: bytes, mode: int) -> str:
        import tempfile

        self._directory = self._directory or tempfile.mkdtemp()
        path = os.path.join(self._directory, str(len(os.listdir(self._directory))))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        return path
