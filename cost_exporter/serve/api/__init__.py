"""The HTTP API under `/v1`, described by OpenAPI at `/openapi.json`.

`shapes.py` describes the answers and `parameters.py` what may be asked; `costs.py`, `workflows.py`, `catalogue.py` and
`budgets.py` have the routes. `cursor.py` is how lists go on, `streams.py` writes CSV and NDJSON, `description.py` is
the page `/docs`.
"""
