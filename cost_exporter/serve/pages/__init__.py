"""Pages for people, filled on the server and readable without JavaScript; no script runs on them.

Each module makes one page or two; `routes.py` lists them, `render.py` has the templates and headers, `figures.py`
writes money and quantities, `charts.py` draws. Every figure is `<data value="exact">rounded</data>`; one with something
unknown in it is marked as a bound. What is asked for is in the address, so that a page can be sent to somebody.
"""
