"""Hostile input: what a client may send to break a server, and what each attack costs it:
`python -m tests.hostile`."""
