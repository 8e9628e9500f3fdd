"""Git repositories made for tests, with git itself, the same bytes on every run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
    "GIT_TERMINAL_PROMPT": "0",
}


def git(directory: Path, *arguments: str, stdin: bytes = b"", when: int = 1_700_000_000) -> str:
    """Run git in a directory; what it prints."""
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *arguments],
        cwd=directory,
        input=stdin,
        capture_output=True,
        check=False,
        env={
            "PATH": os.environ["PATH"],
            **_ENVIRONMENT,
            "GIT_AUTHOR_DATE": f"{when} +0000",
            "GIT_COMMITTER_DATE": f"{when} +0000",
        },
    )
    if done.returncode:
        raise RuntimeError(f"git {' '.join(arguments)}: {done.stderr.decode()}")
    return done.stdout.decode("utf-8", "surrogateescape").strip()


class Repository:
    """A bare repository `<root>/<name>.git` to serve, filled through a work tree beside it.

    Args:
        root: Where both go.
        name: The repository's name.
        algorithm: `sha1` or `sha256`.
    """

    def __init__(self, root: Path, name: str = "flows", *, algorithm: str = "sha1") -> None:
        self.name = name
        self.work = root / f"{name}.work"
        self.bare = root / f"{name}.git"
        self._clock = 1_700_000_000
        for path, *kind in ((self.bare, "--bare"), (self.work,)):
            path.mkdir(parents=True)
            git(path, "init", "-q", "-b", "main", f"--object-format={algorithm}", *kind)
        git(self.work, "remote", "add", "origin", str(self.bare))

    @property
    def path(self) -> str:
        """The path below the server's URL."""
        return f"/{self.name}.git"

    def write(self, path: str, content: str | bytes, *, executable: bool = False) -> None:
        """Write a file of the work tree."""
        file = self.work / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        file.chmod(0o755 if executable else 0o644)

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run git in the work tree."""
        return git(self.work, *arguments, stdin=stdin, when=self._clock)

    def commit(self, message: str = "change", *, push: bool = True) -> str:
        """Commit the work tree as it is and push the branch; the commit's name."""
        self._clock += 60
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        if push:
            self.push()
        return self.git("rev-parse", "HEAD")

    def push(self, *refs: str) -> None:
        """Push these references, or the branch that is checked out."""
        self.git("push", "-q", "--force", "origin", *(refs or ("HEAD",)))

    def serve(self, **settings: str) -> None:
        """Change the bare repository's configuration: `uploadpack__allowAnySHA1InWant="true"`."""
        for key, value in settings.items():
            git(self.bare, "config", key.replace("__", "."), value)

    def checkout(self, directory: Path, revision: str) -> Path:
        """A clone with git itself, at a commit."""
        git(self.bare.parent, "clone", "-q", "--no-checkout", str(self.bare), str(directory))
        git(directory, "checkout", "-q", "--detach", revision)
        return directory
