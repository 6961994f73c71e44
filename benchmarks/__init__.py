"""Benchmarks: one command for each published number, ours beside the peer's in the same run."""
