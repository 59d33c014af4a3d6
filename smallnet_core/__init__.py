"""Benchmarks of image classifiers under one million parameters, claim by claim."""

__version__ = "0.1.0"
