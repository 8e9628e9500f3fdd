"""Measures the fetcher beside its peers on real servers: `python -m tests.bench fetch`."""
