"""Does a client of server-sent events do what browsers do? Ask any of them, in any language.

The driver (`harness`) speaks the service protocol of launchdarkly/sse-contract-tests (docs/service_spec.md,
v2.31.0): a small HTTP service around the client under test starts it on demand and posts what it receives.
`contract` holds the 113 tests of that project as steps, `vectors` those of web-platform-tests that a driver
can see from outside (``tests/vectors/wpt.json``). Run them against a service that listens somewhere::

    python -m tests.conformance http://127.0.0.1:8000

For a client in Python the service is here (`service`); it needs an adapter, one async generator
(`adapters/`). The comparison of the Python clients, printed by the same run for all::

    pip install --group clients && python -m tests.conformance --table

Clients in JavaScript, in Node, Chromium and Firefox, have adapters in ``scripts/clients.mjs``; side by side::

    python -m tests.conformance --scripts

Nothing here but `adapters/ours.py` and those scripts imports rx_sse.
"""
