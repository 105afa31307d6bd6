"""Authentication: JSON Web Tokens, the carriers that bring them, the keys that verify them.

`authenticator` is `JWTAuth`; a request meets `credentials` (the carrier), `cache`, `verify` (PyJWT), `keys`
and `jwks` (what verifies), `scopes`; `challenge` is how a refusal reads to the client, `reasons` and
`refusals` to the developer; `tickets` is a token for the query that opens streams and nothing else. What the
rest of the edge knows of it is a `Principal`, one room up.

Standard: RFC 7519, RFC 7517, RFC 6750, RFC 9700.
Never: a token, or a part of one, in a log, a message or a body. Nothing here is imported unless it is used.
"""
