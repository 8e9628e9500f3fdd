"""gcsfs without its gRPC probe, which the server here does not answer: ENDPOINT BUCKET PREFIX
DIRECTORY."""

import os
import sys

endpoint, bucket, prefix, directory = sys.argv[1:]
os.environ["STORAGE_EMULATOR_HOST"] = endpoint
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"

import gcsfs  # noqa: E402  it reads the variables when it is imported

store = gcsfs.GCSFileSystem(token="anon", endpoint_url=endpoint)
store.get(f"{bucket}/{prefix}/", directory, recursive=True)
