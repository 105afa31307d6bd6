"""The benchmarks: `python -m benchmarks`. See README.md beside this file."""
