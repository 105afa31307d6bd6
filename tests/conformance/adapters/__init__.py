"""Clients under test, one file each. A file that cannot be imported is a client that is not installed."""
