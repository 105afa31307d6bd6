"""What may happen to Redis and to the processes over it, and what the clients see: `python -m tests.faults`.

Two application processes that serve aiohttp over a `RedisBus`, HTTP clients that come back with their
`Last-Event-ID`, somebody who publishes, and an oracle that holds each client to "once, in order, or told".
"""
