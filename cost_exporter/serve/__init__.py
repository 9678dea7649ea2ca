"""The web address: health, metrics, the API and pages, read from the public tables and views alone."""
