"""The error of an unreachable database: one line with the reason and how to fix it, without the password."""

import psycopg

from cost_exporter.errors import StoreUnavailable

__all__ = ["unreachable"]


def unreachable(error: psycopg.Error) -> StoreUnavailable:
    """Return the one line for a database that does not answer."""
    if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None:
        # libpq could not read the URL. Its message quotes it, and it may hold a password.
        return StoreUnavailable(
            "the database's URL cannot be read; write postgresql://user:password@host:5432/database, with % escapes"
        )
    # The first line has the reason; further ones ask whether the server is running, or repeat it for other addresses.
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].strip()
    return StoreUnavailable(f"cannot reach the database ({reason}); is CALLFARE_DATABASE_URL right and the server up?")
