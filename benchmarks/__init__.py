"""What the documents state as measured, each run by ``python -m benchmarks.NAME``."""
