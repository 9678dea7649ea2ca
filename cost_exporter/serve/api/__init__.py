"""The HTTP API under `/v1`, described by OpenAPI at `/openapi.json`.

`shapes.py` describes the answers, `costs.py` and its neighbours have the routes.
"""
