"""callfare's cost service: OTLP spans in, exact cost records and rollups in PostgreSQL out.

`docs/architecture.md` lists the files that follow a span from arrival to commit, in order. Importing this
package needs no extra.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
