"""Measures us beside the others, in one run on one machine: see docs/benchmarks.md."""
