"""Hostile input for everything in the fetcher that reads what others wrote: see docs/fuzzing.md."""
