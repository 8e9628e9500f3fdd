"""Which names a tree may hold: what git refuses to check out, nobody gets to write."""

from __future__ import annotations

import re

from flow_fetcher.errors import SourceRejectedError

LONGEST_NAME = 255
LONGEST_PATH = 3800
"""Below PATH_MAX, with room for the directory that the tree lies in."""
LONGEST_TARGET = 4095

_PLAIN = re.compile(rb"[\w][\w\-+=@,]*(?:\.[\w\-+=@,]+)*")
"""Names that need no closer look: nearly all."""

# Code points that HFS+ ignores in names: `.g\u200cit` is `.git` there.
_HFS_IGNORED = "[\u200c\u200d\u200e\u200f\u202a-\u202e\u206a-\u206f\ufeff]"
# What NTFS makes of a name: trailing dots and spaces go, a colon begins a stream, git~1 is short
# for .git.
_NTFS_DOT_GIT = rb"(?is)(?:\.git|git~1)[. ]*(?:[:\\].*)?"
_NTFS_GITMODULES = rb"(?is)(?:\.gitmodules|gitmod~[1-4]|gi7eb[0-9a-f]~\d)[. ]*(?::.*)?"
# These are compiled when a name needs them: few trees have one, and every start would pay.


def check_name(name: bytes, path: bytes) -> None:
    """Check one component of a path.

    Args:
        name: The component.
        path: The whole path, for the message.

    Raises:
        SourceRejectedError: The name is unsafe in some file system, or too long.
    """
    if len(name) > LONGEST_NAME:
        raise rejected(path, f"has a name longer than {LONGEST_NAME} bytes")
    if _PLAIN.fullmatch(name):
        return
    if name in (b"", b".", b".."):
        raise rejected(path, "has an empty component, '.' or '..'")
    if b"/" in name or b"\0" in name:
        raise rejected(path, "has a slash or NUL within a name")
    if re.fullmatch(_NTFS_DOT_GIT, name) or _hfs_folded(name) == ".git":
        raise rejected(path, "has a component that is .git in some file system")


def check_link(name: bytes, path: bytes, target: bytes) -> None:
    """Check a symbolic link: its name, and the form of its target.

    Raises:
        SourceRejectedError: The link is unsafe whatever else the tree holds.
    """
    if re.fullmatch(_NTFS_GITMODULES, name) or _hfs_folded(name) == ".gitmodules":
        raise rejected(path, "is a symbolic link named .gitmodules, which git refuses too")
    if not target or b"\0" in target or len(target) > LONGEST_TARGET:
        raise rejected(path, "is a symbolic link with an empty, too long or NUL-holding target")
    if target.startswith(b"/"):
        raise rejected(path, f"is a symbolic link to the absolute path {shown(target)}")


def shown(path: bytes) -> str:
    """A path as messages show it: short, and on one line."""
    text = ascii(path.decode("utf-8", "backslashreplace")) if not _readable(path) else path.decode()
    return text if len(text) <= 200 else text[:199] + "…"


def rejected(path: bytes, problem: str) -> SourceRejectedError:
    """The error for a path that must not be written."""
    return SourceRejectedError(
        f"path {shown(path)} {problem}",
        remedy="Rename or remove it at the source: such a tree is never written.",
    )


def _hfs_folded(name: bytes) -> str:
    return re.sub(_HFS_IGNORED, "", name.decode("utf-8", "replace")).lower()


def _readable(path: bytes) -> bool:
    try:
        return path.decode().isprintable()
    except UnicodeDecodeError:
        return False
