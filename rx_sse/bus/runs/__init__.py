"""Runs: a source that is subscribed once, apart from any request, and whose emissions are entries of a topic."""
