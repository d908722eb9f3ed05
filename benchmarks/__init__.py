"""Benchmarks: speed against peers and against the least possible work, and the coverage of intervals."""
