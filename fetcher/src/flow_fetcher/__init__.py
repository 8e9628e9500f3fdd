"""Fetches a source tree from git or blob storage into a directory, atomically."""
