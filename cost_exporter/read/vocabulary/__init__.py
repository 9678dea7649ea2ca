"""The names that emitters use: tables, without any logic that needs a span.

`aliases.py` lists every spelling of every quantity and attribute, `scopes.py` what is special about each
instrumentation, `operations.py` which operations are calls, `names.py` makes names of providers and models
canonical, `usage_names.py` recognises names of usage.
"""
