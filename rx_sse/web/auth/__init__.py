"""Authentication: JSON Web Tokens, the request fields that carry them, the keys that verify them.

`authenticator` is `JWTAuth`; a request passes `credentials` (the carrier), `cache`, `verify` (PyJWT), `keys`
and `jwks` (the keys), `scopes`; `challenge` is the refusal sent to the client, `reasons` and `refusals` the
explanation for the developer; `tickets` are tokens for the query string that open streams and nothing else.
The rest of the web room knows only the resulting `Principal`.

Standard: RFC 7519, RFC 7517, RFC 6750, RFC 9700.
Never: a token, or a part of one, in a log, a message or a body. Nothing here is imported unless it is used.
"""
