"""Run in the S3 server's Pod: store the files of a tar (base64, on stdin) under a prefix.

Signs each request itself (AWS Signature Version 4), so that the image needs no S3 client.
Usage: python3 put.py BUCKET PREFIX
"""

import base64
import hashlib
import hmac
import io
import os
import sys
import tarfile
import time
import urllib.request
from urllib.parse import quote

HOST = "127.0.0.1:7070"
REGION = "us-east-1"


def sign(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def put(path: str, body: bytes) -> None:
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    day, digest, path = now[:8], hashlib.sha256(body).hexdigest(), quote(path)
    names = "host;x-amz-content-sha256;x-amz-date"
    headers = f"host:{HOST}\nx-amz-content-sha256:{digest}\nx-amz-date:{now}\n"
    request = f"PUT\n{path}\n\n{headers}\n{names}\n{digest}"
    scope = f"{day}/{REGION}/s3/aws4_request"
    hashed = hashlib.sha256(request.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashed}"
    key = f"AWS4{os.environ['ROOT_SECRET_KEY']}".encode()
    for part in scope.split("/"):
        key = sign(key, part)
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={os.environ['ROOT_ACCESS_KEY']}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    urllib.request.urlopen(
        urllib.request.Request(
            f"http://{HOST}{path}",
            data=body,
            method="PUT",
            headers={
                "x-amz-content-sha256": digest,
                "x-amz-date": now,
                "Authorization": authorization,
            },
        )
    ).close()


def main(bucket: str, prefix: str) -> None:
    archive = io.BytesIO(base64.b64decode(sys.stdin.read()))
    try:
        put(f"/{bucket}", b"")
    except OSError as error:
        if getattr(error, "code", None) != 409:
            raise
    with tarfile.open(fileobj=archive) as tar:
        for member in tar:
            body = tar.extractfile(member)
            assert body is not None
            put(f"/{bucket}/{prefix}{member.name}", body.read())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
