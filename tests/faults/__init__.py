"""Faults of Redis, of an SQLite file and of the processes over them, and what the clients see:
`python -m tests.faults`.

Application processes that serve aiohttp over a `RedisBus` or a `SQLiteBus`, HTTP clients that come back with
their `Last-Event-ID`, somebody who publishes, and an oracle that holds each client to "once, in order, or
told".
"""
