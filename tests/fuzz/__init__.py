"""Fuzzing: what reads bytes from outside, fed with bytes that nobody would send: `python -m tests.fuzz`."""
