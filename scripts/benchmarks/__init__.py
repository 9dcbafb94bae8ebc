"""Measures the package against its peers: ``make bench``, or ``python -m scripts.benchmarks``."""
