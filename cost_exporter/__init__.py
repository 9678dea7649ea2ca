"""callfare's cost service: OTLP spans in, exact cost records and rollups in PostgreSQL out.

Start reading at `pipeline.py`, which lists every step. Importing this package needs no extra.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
