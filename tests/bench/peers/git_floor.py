"""The least that any fetch in Python does: ask for the pack, receive it, discard it. URL COMMIT."""

import http.client
import sys
from urllib.parse import urlsplit

url, commit = sys.argv[1:]
parts = urlsplit(url)
lines = ["command=fetch", "agent=floor", "object-format=sha1"]
arguments = ["ofs-delta", "no-progress", f"want {commit}", "deepen 1", "done"]


def packets(texts):
    return "".join(f"{len(text) + 5:04x}{text}\n" for text in texts)


body = packets(lines) + "0001" + packets(arguments) + "0000"
connection = http.client.HTTPConnection(parts.hostname, parts.port)
headers = {"Content-Type": "application/x-git-upload-pack-request", "Git-Protocol": "version=2"}
connection.request("POST", f"{parts.path}/git-upload-pack", body, headers)
answer = connection.getresponse()
assert answer.status == 200, answer.status
received = 0
while piece := answer.read1(1 << 16):
    received += len(piece)
assert received > 1000, received
