"""Runs: a source that is subscribed once, independently of any request; its items are entries of a topic."""
