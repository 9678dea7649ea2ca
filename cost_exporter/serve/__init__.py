"""The web address: health, metrics, the API and pages.

`app.py` puts it together and `web.py` is what handlers work with; `access.py` checks tokens, `asked.py` reads
parameters, `answers.py` has the envelope and the errors. `api` has the routes under `/v1`, `views.py` shapes their
answers; `pages` fills the templates, `assets` are the files that pages load. `metrics.py` and `final_costs.py` are
`/metrics`.
"""
