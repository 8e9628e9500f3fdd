"""boto3 with 16 threads over one client: ENDPOINT BUCKET PREFIX DIRECTORY."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

endpoint, bucket, prefix, directory = sys.argv[1:]
client = boto3.client("s3", endpoint_url=endpoint, config=Config(max_pool_connections=16))


def take(key: str) -> None:
    path = os.path.join(directory, key[len(prefix) + 1 :])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    client.download_file(bucket, key, path)


pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
with ThreadPoolExecutor(16) as pool:
    keys = (each["Key"] for page in pages for each in page.get("Contents", ()))
    list(pool.map(take, keys))
