"""Checks a fetched tree for what the main container will look for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from flow_fetcher.errors import EntrypointNotFoundError, PathNotFoundError
from flow_fetcher.plan import Entrypoint, Plan

_LOOKED_AT = 5000
_SUGGESTIONS = 5


def check_tree(tree: Path, plan: Plan) -> None:
    """Make sure that the working directory and the entrypoint's file are there.

    A module is looked for only where its package obviously lies in the tree: everything else may
    come from the image or from an installed package, and is left to the runner.

    Raises:
        PathNotFoundError: The working directory is missing.
        EntrypointNotFoundError: The entrypoint's file is missing.
    """
    directory = tree / plan.working_directory
    if not directory.is_dir():
        raise PathNotFoundError(
            f"workingDirectory {plan.working_directory!r} is "
            f"{'not a directory' if directory.exists() else 'not there'} in the fetched tree"
            + _similar(plan.working_directory, _directories(tree)),
            remedy="Correct spec.workingDirectory; it is relative to the root of what is fetched.",
        )
    if plan.entrypoint is None:
        return
    missing = _missing_file(directory, plan.entrypoint)
    if missing is not None:
        where = (
            f"in {plan.working_directory!r}" if plan.working_directory else "in the fetched tree"
        )
        raise EntrypointNotFoundError(
            f"entrypoint {plan.entrypoint.text!r}: there is no file {missing!r} {where}"
            + _similar(missing, _python_files(directory)),
            remedy="Correct spec.entrypoint; it is relative to spec.workingDirectory.",
        )


def _missing_file(directory: Path, entrypoint: Entrypoint) -> str | None:
    if entrypoint.file is not None:
        return None if (directory / entrypoint.file).is_file() else entrypoint.file
    parts = (entrypoint.module or "").split(".")
    package = directory
    for number, part in enumerate(parts):
        if _is_module(package, part):
            return None
        package = package / part
        if number + 1 < len(parts) and not (package / "__init__.py").is_file():
            # Nothing here, or a directory that an installed package of that name outranks.
            return (
                None if number == 0 or package.is_dir() else "/".join(parts[: number + 1]) + ".py"
            )
    if package.is_dir() or len(parts) == 1:
        return None
    return "/".join(parts) + ".py"


def _is_module(package: Path, name: str) -> bool:
    """Whether a file, whatever its kind, defines this module."""
    return any(path.is_file() for path in package.glob(f"{name}.*"))


def _similar(wanted: str, names: Iterable[str]) -> str:
    """The names that the user may have meant, as the end of a sentence."""
    import difflib  # only a failure needs it

    candidates = sorted(names)
    same_file = [
        name for name in candidates if name.rsplit("/", 1)[-1] == wanted.rsplit("/", 1)[-1]
    ]
    close = difflib.get_close_matches(wanted, candidates, _SUGGESTIONS)
    found = list(dict.fromkeys([*same_file, *close]))[:_SUGGESTIONS]
    if found:
        return f"; similar: {', '.join(found)}"
    few = [name for name in candidates if "/" not in name][:_SUGGESTIONS]
    return f"; there are: {', '.join(few)}" if few else ""


def _python_files(directory: Path) -> Iterable[str]:
    return (name for name, is_file in _walk(directory) if is_file and name.endswith(".py"))


def _directories(tree: Path) -> Iterable[str]:
    return (name for name, is_file in _walk(tree) if not is_file)


def _walk(root: Path) -> Iterable[tuple[str, bool]]:
    """Names below a directory, relative, up to a number of them."""
    left = _LOOKED_AT
    for directory, directories, files in os.walk(root):
        here = os.path.relpath(directory, root)
        for names, are_files in ((directories, False), (files, True)):
            for name in names:
                yield os.path.normpath(os.path.join(here, name)), are_files
        left -= len(directories) + len(files)
        if left < 0:
            return
