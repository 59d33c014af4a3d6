"""The paper's claims as benchmark tests; run with ``pytest benchmarks``."""
