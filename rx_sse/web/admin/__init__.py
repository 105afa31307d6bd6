"""The operator's interface: health endpoints for the orchestrator, and the page at `/admin/`.

`application` has the routes, `board` the content of the page, `survey` its streams, `rates` the last minutes,
`topic_table`, `run_table` and `processes` the rest, `access` the permissions to see and to act, `actions` and
`follow` the operator's actions.
"""
