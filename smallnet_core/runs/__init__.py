"""Saved runs: the file, its rows, and what changed between two of them."""
