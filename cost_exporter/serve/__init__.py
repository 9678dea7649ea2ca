"""The web address: health, metrics, the API and pages, read from the public tables and views alone.

`app.py` puts it together, `access.py` checks tokens, `api.py` answers JSON and `views.py` shapes it, `page.py` fills
the templates, `metrics.py` and `final_costs.py` are `/metrics`.
"""
