"""Compares trees as a whole: names, types, modes, contents and targets of links."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def picture(root: Path) -> dict[bytes, tuple[str, object]]:
    """Everything below a directory but `.git` at its top: path → kind and content."""
    found: dict[bytes, tuple[str, object]] = {}
    top = os.fsencode(root)
    for directory, directories, files in os.walk(top):
        if directory == top and b".git" in directories:
            directories.remove(b".git")
        for name in directories + files:
            path = os.path.join(directory, name)
            mode = os.lstat(path).st_mode
            key = os.path.relpath(path, top)
            if stat.S_ISLNK(mode):
                found[key] = ("link", os.readlink(path))
            elif stat.S_ISDIR(mode):
                found[key] = ("directory", oct(stat.S_IMODE(mode)))
            else:
                with open(path, "rb") as file:
                    found[key] = (f"file {oct(stat.S_IMODE(mode))}", file.read())
    return found
