"""The machine, and files that are written atomically."""
