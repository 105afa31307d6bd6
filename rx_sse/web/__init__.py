"""The aiohttp edge: from a request to a stream, and back to aiohttp as if nothing had happened.

In the order in which a request meets them: `setup` (once an application), `handler` (the decorator), `auth`
(who asks), `edge` (may one more be opened), `response` (the life of one response), `stream` (a source on one
side, a connection on the other), `sink`, `pump`, `gate`, `connection`.

Standard: HTML Living Standard §9.2 (server-sent events), RFC 9112, RFC 6750, Fetch (CORS).
Never: it uses a private name of aiohttp, or imports redis.
"""
