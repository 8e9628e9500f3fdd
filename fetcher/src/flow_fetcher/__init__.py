"""Fetches a source tree from git or blob storage into a directory, atomically."""

__version__ = "0.1.0"
