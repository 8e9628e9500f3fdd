"""What an SSH server says: flags, `ssh`'s exit code, a commit's name, then what `ssh` complains of,
the URL, and one stream for each connection.

The whole source runs, but for the program `ssh`: its command line is looked at, and its ends are
pipes that hold what the input says.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any
from unittest import mock

from flow_fetcher.credentials import Credentials
from flow_fetcher.errors import InvalidPlanError
from flow_fetcher.plan import parse_plan
from tests.fuzz.mutation import Change
from tests.fuzz.oracle import Violation, judge_error
from tests.fuzz.targets import Target, pack
from tests.fuzz.targets.answers import COMMIT, DEEP, SPARSE, SPLIT, TAG, band, fetched, packet
from tests.fuzz.targets.answers import mutated_body as mutated
from tests.fuzz.targets.pack import SHA256
from tests.fuzz.targets.packchanges import deeper, honest
from tests.fuzz.targets.protocol import fetched_as_said, wanted_directories

_URL = b"ssh://git@git.example.com/acme/flows.git"
_KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----"
_SECRET = {"identity": _KEY, "known_hosts": "git.example.com ssh-ed25519 AAAA"}
_MOST_STREAMS = 8
_CODES = (0, 255, 1, 128, 137)


class _Process:
    """In the place of `ssh`: has said everything already, and ends with a code."""

    def __init__(self, said: bytes, stream: bytes, code: int) -> None:
        self.stdin = io.BytesIO()
        self.stdout, self.stderr = _pipe(stream), _pipe(said)
        self._code = code

    def wait(self, timeout: float | None = None) -> int:
        return self._code

    def kill(self) -> None:
        pass


def _pipe(content: bytes) -> io.FileIO:
    """The reading end of a pipe that holds this, which is less than a pipe takes."""
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return io.FileIO(reading)


def _check_command(argv: Sequence[str]) -> None:
    """The server's shell must see two words, and `ssh` no option that the URL made."""
    at = argv.index("--")
    host, *command = argv[at + 1 :]
    try:
        words = shlex.split(command[0])
    except ValueError:
        words = []
    if len(command) != 1 or len(words) != 2 or words[0] != "git-upload-pack":
        raise Violation(f"the server is told to run {command!r}")
    if host.startswith("-") or words[1].startswith("-") or argv[at - 1].startswith("-"):
        raise Violation(f"an option made of the URL: {argv[at - 1 :]!r}")


def run(data: bytes) -> bool:
    flags, rest = data[0] if data else 0, data[2:]
    code = data[1] if len(data) > 1 else 0
    _, wanted, raw = pack.split(bytes([flags]) + rest)
    said, url, *streams = [*raw.split(SPLIT)[: _MOST_STREAMS + 2], b"", b""][: _MOST_STREAMS + 2]
    ref = {"commit": wanted.hex()} if flags & COMMIT else {"tag": "v1"} if flags & TAG else {}
    directories = wanted_directories(flags)
    git = {
        "url": url.decode("utf-8", "surrogateescape"),
        "ref": ref,
        "sparseCheckout": [each.decode() for each in directories],
    }
    try:
        source = {"type": "git", "git": git}
        plan = parse_plan(
            json.dumps({"version": 1, "source": source, "secretName": "key"}).encode()
        )
        if not url.startswith(b"ssh://") and b"://" in url:
            return False
        connections = iter(streams)

        def start(argv: Sequence[str], **_: Any) -> _Process:
            _check_command(argv)
            stream = next(connections, b"")
            return _Process(said, stream, code if stream == streams[-1] else 0)

        with mock.patch.object(subprocess, "Popen", start):
            return fetched_as_said(plan, Credentials(_SECRET, "key"), directories)
    except InvalidPlanError as error:
        judge_error(error)
        return False


_WORDS = [
    b"Permission denied (publickey).", b"Host key verification failed.", b'Load key "/x": ',
    b"@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @", b"fatal: not found", b"\r\n",
    b"No ED25519 host key is known for [git.example.com]:22 and", b"ERROR: Repository not found.",
    b"Unable to negotiate with 10.0.0.1 port 22: no matching host key type found.", b"\x1b[2J",
    b"No user exists for uid 7", b"kex_exchange_identification: Connection closed", b"\n\n\n",
    b"fatal: '/x.git' does not appear to be a git repository", b"@" * 60, b" " * 3000,
    b"Offending ED25519 key in /proc/1/fd/3:1", b"remote: " + b"=" * 70, b"\xff\xfe\0",
    b"remote: ERROR: The project could not be found or you don't have permission to view it.",
    b"ssh: Could not resolve hostname git.example.com: Name or service not known",
    b"ssh: connect to host git.example.com port 22: Connection refused", b"is marked as revoked",
]  # fmt: skip
_URLS = [
    b"git@git.example.com:acme/flows.git", b"ssh://h/~x", b"ssh://-oProxyCommand=x/y", b"git@h:~",
    b"git@-h:x", b"-x@h:y", b"git@h:-x", b"ssh://git@[::1]:22/x", b"ssh://h:0/x", b"ssh://h/-x",
    b"ssh://h/a'b!c$(d)`e`;f&g|h", b"ssh://u:p@h/x", b"ssh://git@h/x'", b"ssh://git@h/'!'",
    b"ssh://git@h/--upload-pack=x", b"ssh://g\xc3\xa9@h/x", b"ssh://h/x\xe2\x80\xae", b"git@h:'",
    b"ssh://h/~-x", b"ssh://h", b"ssh://h:99999/x", b"a@b:c'd",
]  # fmt: skip


def seeds() -> Iterator[tuple[str, bytes]]:
    for size in (20, 32):
        graph = deeper(honest(Random(5), size))
        name, raw = graph.pack(Random(5))
        for label, flags, stream in _streams(name, raw, *graph.parts(Random(5))):
            kind = SHA256 if size == 32 else 0
            if size == 20 or label in ("v2", "v2-commit"):
                streams = SPLIT.join((b"", _URL, *stream))
                yield f"{label}-{size}", bytes([flags | kind, 0]) + name + streams
    for number, words in enumerate(_WORDS):
        for code in (255, 1):
            head = bytes([0, code]) + name[:20]
            yield f"words-{number}-{code}", head + SPLIT.join((words, _URL, b""))
    for number, url in enumerate(_URLS):
        yield f"url-{number}", bytes([0, 0]) + name[:20] + SPLIT.join((b"", url, b""))


def _streams(
    name: bytes, raw: bytes, first: bytes, second: bytes
) -> Iterator[tuple[str, int, list[bytes]]]:
    """(label, flags, what is sent on each connection)."""
    digits = name.hex().encode()
    kind = b"sha1" if len(name) == 20 else b"sha256"
    hello = packet(b"version 2\n") + packet(b"agent=git/2.39.5\n") + packet(b"ls-refs=unborn\n")
    hello += packet(b"fetch=shallow filter\n") + packet(b"object-format=%s\n" % kind) + b"0000"
    refs = packet(b"%s HEAD\n" % digits) + b"0000"
    tags = packet(b"%s refs/tags/v1 peeled:%s\n" % (b"1" * len(digits), digits)) + b"0000"
    shallow = packet(b"shallow-info\n") + packet(b"shallow " + digits) + b"0001"
    yield "v2", 0, [hello + refs + fetched(raw, shallow)]
    yield "v2-tag", TAG, [hello + tags + fetched(raw, shallow)]
    yield "v2-commit", COMMIT, [hello + fetched(raw)]
    refused = packet(b"ERR upload-pack: not our ref\n")
    heads = packet(b"%s refs/heads/main\n" % digits) + b"0000"
    plain = hello.replace(packet(b"agent=git/2.39.5\n"), b"")
    yield "v2-everything", COMMIT, [plain + refused, plain + heads + fetched(raw)]
    sparse = COMMIT | SPARSE
    yield "sparse", sparse, [hello + fetched(first) + fetched(second)]
    yield "sparse-deep", sparse | DEEP, [hello + fetched(first) + fetched(second)]
    yield "sparse-refused", sparse, [hello + fetched(first) + refused, hello + fetched(raw)]
    for words in (b"side-band-64k ofs-delta shallow", b"shallow"):
        old = packet(b"%s HEAD\0%s symref=HEAD:refs/heads/main\n" % (digits, words))
        old += packet(b"%s refs/heads/main\n" % digits) + b"0000"
        said = packet(b"shallow " + digits) + b"0000" + packet(b"NAK\n")
        said += band(raw, 300) + b"0000" if b"side" in words else raw
        yield f"v0-{'band' if b'side' in words else 'plain'}", 0, [old + said]


def mutate(data: bytes, rng: Random, change: Change) -> bytes:
    flags, code, rest = (data + b"\0\0")[0], (data + b"\0\0")[1], data[2:]
    _, wanted, raw = pack.split(bytes([flags]) + rest)
    said, url, *streams = [*raw.split(SPLIT), b"", b""][: _MOST_STREAMS + 2]
    for _ in range(rng.choice((1, 1, 2, 3))):
        what = rng.randrange(12)
        at = rng.randrange(len(streams)) if streams else 0
        if what == 0:
            flags ^= rng.choice((COMMIT, TAG, SPARSE, DEEP, 0x08, 0x10))
        elif what == 1:
            code = rng.choice(_CODES)
        elif what == 2:
            said = rng.choice((b"\n", b" ", b"")).join((said, rng.choice(_WORDS)))[-3000:]
        elif what == 3:
            said = change(said, 3000)
        elif what == 4:
            url = rng.choice(_URLS)
        elif what == 5:
            url = change(url, 300)
        elif what == 6 or not streams:
            graph = deeper(honest(rng, len(wanted)))
            choices = list(_streams(wanted, graph.pack(rng)[1], *graph.parts(rng)))
            streams[at : at + 1] = rng.choice(choices)[2]
        else:
            streams[at] = mutated(streams[at], rng, change)
    return bytes([flags, code]) + wanted + SPLIT.join((said, url, *streams))


def target(name: str) -> Target:
    del name
    return Target(run, mutate, seeds, weight=2)
