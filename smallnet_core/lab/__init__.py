"""Trained networks, curves and timings for the benchmarks, each made once and kept."""
