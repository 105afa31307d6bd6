"""What an operator looks at and acts with: health for the orchestrator, and the page at `/admin/`.

`application` has the routes, `board` what the page shows, `survey` the streams of it, `rates` the last
minutes, `topic_table`, `run_table` and `processes` what is beside the streams, `access` who may see and who
may act, `actions` and `follow` what an operator can do.
"""
