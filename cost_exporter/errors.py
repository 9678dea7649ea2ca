"""The errors that this package raises on purpose, and what each means for the caller.

CallfareError                 something the operator or the caller can fix; the text says how
├── SettingsError             a wrong option or environment variable
├── MissingExtra              a part needs an optional dependency that is not installed
├── PriceFileError            a price file that cannot be loaded; names the file, the line and the fix
├── UsageError                a usage that cannot be priced because it is malformed
├── StatementError            a provider's own figures cannot be read
├── ExportError               exported files: a place that cannot be used, or a query that cannot be answered
├── StoreError                the database
│   ├── StoreUnavailable      temporary: retry later (UNAVAILABLE / 503)
│   │   └── StoreFault        possibly permanent: retry for a bounded time (UNAVAILABLE / 503)
│   └── SchemaMismatch        the schema is newer than the program, or not migrated
└── ReceiveError              an OTLP request that is refused
    ├── TooLarge              permanently: RESOURCE_EXHAUSTED / 413
    ├── Undecodable           permanently: INVALID_ARGUMENT / 400
    ├── UnsupportedMedia      permanently: 415, an encoding or content type that is not supported
    ├── Unauthenticated       no token, or none we know: UNAUTHENTICATED / 401
    ├── PermissionDenied      the token may not do this: PERMISSION_DENIED / 403
    └── Overloaded            temporarily: UNAVAILABLE / 503
"""

__all__ = [
    "CallfareError",
    "ExportError",
    "MissingExtra",
    "Overloaded",
    "PermissionDenied",
    "PriceFileError",
    "ReceiveError",
    "SchemaMismatch",
    "SettingsError",
    "StatementError",
    "StoreError",
    "StoreFault",
    "StoreUnavailable",
    "TooLarge",
    "Unauthenticated",
    "Undecodable",
    "UnsupportedMedia",
    "UsageError",
]


class CallfareError(Exception):
    """Base of all errors raised on purpose. Its text is one line that says how to fix it."""


class SettingsError(CallfareError):
    """A wrong option or environment variable."""


class MissingExtra(CallfareError):
    """A part was used whose optional dependency is not installed."""

    def __init__(self, part: str, extra: str) -> None:
        """Name the part and the extra that brings it."""
        super().__init__(f"{part} needs the extra {extra!r}: pip install 'callfare[{extra}]'")


class PriceFileError(CallfareError):
    """A price file that cannot be loaded; the book in force stays in force."""


class UsageError(CallfareError):
    """A usage that is malformed: not a number, or not a quantity we know."""


class StatementError(CallfareError):
    """What a provider states itself cannot be read: not its format, or not to be reached."""


class ExportError(CallfareError):
    """A place that files cannot be exported to or read from, or a query over them that cannot be answered."""


class StoreError(CallfareError):
    """The database refused or is missing something."""


class StoreUnavailable(StoreError):
    """The database cannot take the batch at the moment; the sender should retry."""


class StoreFault(StoreUnavailable):
    """The batch could not be stored for a reason that may not pass; a sender that retries for ever would be stuck."""


class SchemaMismatch(StoreError):
    """The schema in the database is not the one this program was written for."""


class ReceiveError(CallfareError):
    """An OTLP request that is refused as a whole."""


class TooLarge(ReceiveError):
    """More bytes or spans than the limit; sending it again cannot help."""


class Undecodable(ReceiveError):
    """Not an ExportTraceServiceRequest."""


class UnsupportedMedia(ReceiveError):
    """A content type or content encoding that the receiver does not speak."""


class Unauthenticated(ReceiveError):
    """Tokens are required and the request carries none, or none that is known and in force."""


class PermissionDenied(ReceiveError):
    """The token is known, but its scope does not cover the request."""


class Overloaded(ReceiveError):
    """No admission slot or byte budget became free in time; the sender should retry."""
