"""One folder a vendor. How to write one: the docstring of `callfare.instrumentor`."""
