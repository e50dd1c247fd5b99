"""Benchmarks: ours against a baseline of the same run, as ratios. No test depends on time."""
