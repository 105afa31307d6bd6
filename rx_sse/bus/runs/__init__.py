"""Runs: a source that is subscribed once, apart from any request; what it emits are entries of a topic."""
