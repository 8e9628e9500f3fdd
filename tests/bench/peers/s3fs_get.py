"""s3fs: ENDPOINT BUCKET PREFIX DIRECTORY."""

import sys

import s3fs

endpoint, bucket, prefix, directory = sys.argv[1:]
store = s3fs.S3FileSystem(endpoint_url=endpoint)
store.get(f"{bucket}/{prefix}/", directory, recursive=True)
