"""What the benchmarks ask for: trained networks, curves, timings, each made once and kept."""
