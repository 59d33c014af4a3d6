"""The machine, and files that are whole or not there."""
