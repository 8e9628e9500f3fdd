"""adlfs: ENDPOINT CONTAINER PREFIX ACCOUNT KEY DIRECTORY."""

import sys

import adlfs

endpoint, container, prefix, account, key, directory = sys.argv[1:]
connection = (
    f"DefaultEndpointsProtocol=http;AccountName={account};AccountKey={key};"
    f"BlobEndpoint={endpoint}/{account};"
)
store = adlfs.AzureBlobFileSystem(connection_string=connection)
store.get(f"{container}/{prefix}/", directory, recursive=True)
