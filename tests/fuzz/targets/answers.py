"""What git servers answer over HTTP, and changes of it: heads, packets, chunks, bodies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

from tests.fuzz.mutation import NASTY, NUMBERS, Change

SPLIT = b"\n--NEXT--\n"
COMMIT, SECRET, TAG, SPARSE, DEEP = 1, 2, 4, 0x40, 0x80
"""Flags: what the plan asks for. Bits 3 and 4 say in which pieces the answers come."""

_KINDS = {
    b"result": b"application/x-git-upload-pack-result",
    b"advertisement": b"application/x-git-upload-pack-advertisement",
}


def packet(data: bytes) -> bytes:
    return b"%04x%s" % (len(data) + 4, data)


def answer(body: bytes, kind: bytes = b"result", status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 %s\r\nContent-Type: %s\r\n" % (status, _KINDS.get(kind, kind))
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def band(raw: bytes, size: int) -> bytes:
    return b"".join(packet(b"\1" + raw[at : at + size]) for at in range(0, len(raw), size))


def fetched(raw: bytes, *before: bytes) -> bytes:
    """A pack as the answer to a fetch of protocol 2."""
    return b"".join(before) + packet(b"packfile\n") + band(raw, 250) + b"0000"


def sparse(whole: bytes, first: bytes, second: bytes) -> Iterator[tuple[str, int, list[bytes]]]:
    """Like `conversations`, for those who want some directories: names first, then the files."""
    known = COMMIT | SPARSE
    refused = answer(packet(b"ERR upload-pack: not our ref\n"))
    yield "sparse", known, [answer(fetched(first)), answer(fetched(second))]
    yield "sparse-unfiltered", known, [answer(fetched(whole))]
    yield "sparse-refused", known, [answer(fetched(first)), refused, answer(fetched(whole))]
    yield "sparse-deep", known | DEEP, [answer(fetched(first)), answer(fetched(second))]


def conversations(name: bytes, raw: bytes) -> Iterator[tuple[str, int, list[bytes]]]:
    """(label, flags, answers) of servers of every sort that hold this commit."""
    digits = name.hex().encode()
    refs = packet(b"%s refs/heads/main\n" % digits) + b"0000"
    tags = packet(b"%s refs/tags/v1 peeled:%s\n" % (b"1" * len(digits), digits)) + b"0000"
    shallow = packet(b"shallow-info\n") + packet(b"shallow " + digits) + b"0001"
    pack = answer(fetched(raw, shallow))
    yield "v2-branch", 0, [answer(refs), pack]
    yield "v2-tag", TAG | SECRET, [answer(tags), pack]
    yield "v2-commit", COMMIT, [pack]
    two = packet(b"# service=git-upload-pack\n") + b"0000" + packet(b"version 2\n")
    two += packet(b"agent=git/2.39.5\n") + packet(b"ls-refs=unborn\n")
    two += packet(b"fetch=shallow filter\n") + packet(b"object-format=sha1\n") + b"0000"
    unknown = answer(b"no\n", b"text/plain", b"415 Unsupported")
    yield "v2-late", 0, [unknown, answer(two, b"advertisement"), answer(refs), pack]
    for words in (b"side-band-64k ofs-delta shallow allow-tip-sha1-in-want agent=x", b"shallow"):
        old = packet(b"%s HEAD\0%s symref=HEAD:refs/heads/main\n" % (digits, words))
        old += packet(b"%s refs/heads/main\n" % digits)
        old += packet(b"%s refs/tags/v1\n" % (b"1" * len(digits)))
        old += packet(b"%s refs/tags/v1^{}\n" % digits) + b"0000"
        said = packet(b"shallow " + digits) + b"0000" + packet(b"NAK\n")
        said += band(raw, 300) + b"0000" if b"side" in words else raw
        service = packet(b"# service=git-upload-pack\n") + b"0000"
        for version, begin in ((b"v0", b""), (b"v1", packet(b"version 1\n"))):
            offer = answer(service + begin + old, b"advertisement")
            label = f"{version.decode()}-{'band' if b'side' in words else 'plain'}"
            yield label, 0, [unknown, offer, answer(said)]
    moved = b"HTTP/1.1 301 Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"
    place = b"https://git.example.com/new.git/info/refs?service=git-upload-pack"
    yield "moved", SECRET, [
        unknown, moved % place, answer(two, b"advertisement"), answer(refs), pack
    ]  # fmt: skip
    elsewhere = place.replace(b"git.example.com", b"evil.example.com")
    yield "moved-away", SECRET, [unknown, moved % elsewhere, answer(two, b"advertisement")]
    denied = answer(packet(b"ERR access denied\n"))
    yield "refused", 0, [denied, answer(b"", b"text/html", b"401 No")]


_LINES = [
    b"version 2\n", b"version 1\n", b"version 3\n", b"# service=git-upload-pack\n", b"packfile\n",
    b"shallow-info\n", b"acknowledgments\n", b"wanted-refs\n", b"NAK\n", b"ACK ", b"ERR no\n",
    b"unborn HEAD symref-target:refs/heads/main\n", b"\3fatal\n", b"\2remote\n", b"\1", b"", b"\4x",
    b"0" * 40 + b" capabilities^{}\0x", b"shallow " + b"0" * 40, b"object-format=sha256\n",
    b"x refs/heads/main\n", b"../../x refs/heads/main\n", b" refs/heads/main\n", b"ready\n",
    b"f" * 40 + b" refs/heads/main peeled:" + b"e" * 40 + b"\n", b"agent=git/2\n", b"\xff\xfe\n",
    b"packfile-uris\n", b"ERR ",
]  # fmt: skip
_SPECIAL = [b"0000", b"0001", b"0002", b"0003", b"0004", b"ffff", b"FFF0", b"-001", b"00 5"]
_HEADS = [
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 404 None\r\n",
    b"HTTP/1.1 100 C\r\n",
    b"HTTP/1.1 301 Moved\r\nLocation: /x/info/refs\r\n", b"HTTP/1.1 429 Wait\r\nRetry-After: 5\r\n",
    b"HTTP/1.1 302 F\r\nLocation: http://git.example.com/x/info/refs?service=git-upload-pack\r\n",
    b"HTTP/1.1 302 F\r\nLocation: https://git.example.com:8/info/refs\r\n", b"HTTP/1.1 500 E\r\n",
    b"HTTP/1.1 302 F\r\nLocation: https://git.example.com/\x01/info/refs\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n",
    b"HTTP/1.1 302 F\r\nLocation: https://u:p@git.example.com/info/refs\r\n", b"HTTP/1.1 204 N\r\n",
    b"HTTP/1.1 302 F\r\nLocation: //evil.example.com/info/refs\r\n", b"HTTP/1.1 401 Who\r\n",
    b"HTTP/1.1 302 F\r\nLocation: https://[::1/info/refs\r\n", b"HTTP/1.1 304 Same\r\n",
    b"HTTP/1.1 302 F\r\nLocation: https://h:99999/info/refs\r\n", b"HTTP/2 200\r\n", b"\r\n",
    b"HTTP/1.1 302 F\r\nLocation: https://git.example.com\\@evil.example.com/info/refs\r\n",
    b"HTTP/1.1 302 F\r\nLocation: https://GIT.example.com/x/info/refs?service=git-upload-pack\r\n",
    b"HTTP/1.1 302 F\r\nLocation: https://git.example.com /info/refs\r\n",
]  # fmt: skip


def _packets(body: bytes) -> list[bytes] | None:
    """The packets of a body as they lie there; a pack without side band is the last."""
    found, at = [], 0
    while at < len(body):
        head = body[at : at + 4]
        if not re.fullmatch(rb"[0-9a-fA-F]{4}", head):
            return [*found, body[at:]] if found else None
        size = max(4, int(head, 16))
        found.append(body[at : at + size])
        at += size
    return found


def mutated_body(body: bytes, rng: Random, change: Change) -> bytes:
    packets = _packets(body)
    if not packets:
        return change(body, 1 << 13) if body else packet(rng.choice(_LINES)) + b"0000"
    at = rng.randrange(len(packets))
    what = rng.randrange(9)
    if what <= 1:
        packets[at] = packet(change(packets[at][4:], 2000))
    elif what == 2:
        packets.insert(at, packet(rng.choice(_LINES)))
    elif what == 3:
        packets.insert(at, rng.choice(_SPECIAL))
    elif what == 4:
        del packets[at]
    elif what == 5:
        packets.insert(at, rng.choice(packets))
    elif what == 6:
        packets[at] = packets[at][:4] + rng.choice((b"\1", b"\2", b"\3", b"")) + packets[at][5:]
    elif what == 7:
        packets = packets[:at]
    else:
        line = packets[at][4:].replace(b"refs/heads/main", rng.choice(NASTY))
        packets[at] = packet(line)
    return b"".join(packets)


def mutated(raw: bytes, rng: Random, change: Change) -> bytes:
    head, gap, body = raw.partition(b"\r\n\r\n")
    what = rng.randrange(8)
    if what <= 3:
        body = mutated_body(body, rng, change)
    elif what == 4:
        head = rng.choice(_HEADS) + head.partition(b"\r\n")[2]
    elif what == 5:
        head = change(head, 600)
    elif what == 6:
        words = [b"-result", b"-advertisement"]
        rng.shuffle(words)
        head = head.replace(*words)
    else:
        parts = [body[at : at + 99] for at in range(0, len(body), 99)]
        sizes = [b"%x\r\n%s\r\n" % (len(part), part) for part in parts]
        cut = rng.choice((b"0\r\n\r\n", b"0\r\n\r\n", b"", b"%x\r\n" % rng.choice(NUMBERS)))
        head = re.sub(rb"\r\nContent-Length: \d+", b"", head) + b"\r\nTransfer-Encoding: chunked"
        return head + b"\r\n\r\n" + b"".join(sizes) + cut
    if rng.random() < 0.9:
        head = re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % len(body), head)
    return head + (gap or b"\r\n\r\n") + body
