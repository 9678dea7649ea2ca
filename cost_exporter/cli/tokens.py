"""`callfare token create|list|revoke`: credentials. A token is shown once, when it is made."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final

import typer

from cost_exporter.cli.database import open_connection
from cost_exporter.cli.options import AsJson
from cost_exporter.cli.output import print_json, print_line, print_sheet
from cost_exporter.errors import CallfareError
from cost_exporter.report.amounts import jsonable, short_time_text
from cost_exporter.report.forms import Fold, Sheet
from cost_exporter.store import tokens as credentials
from cost_exporter.store.tokens import Token, TokenScope

__all__ = ["tokens"]

_DURATION: Final = re.compile(r"([0-9]{1,6})([dh])")
_HOURS: Final = {"d": 24, "h": 1}
tokens = typer.Typer(help="Credentials for sending and reading.", no_args_is_help=True)


@tokens.command()
def create(
    *,
    tenant: Annotated[
        list[str],
        typer.Option(metavar="NAME", help="The tenant it sends for, or one it reads; again for more; '*': all."),
    ],
    scope: Annotated[
        list[TokenScope] | None, typer.Option(help="What its bearer may do; again for more. [default: ingest]")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="WHEN", help="When it ends: YYYY-MM-DD (UTC), or in 90d or 12h. [never]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and show it, this once. From the first one on, every sender and reader needs one."""
    expires_at = None if expires is None else expiry_of(expires, datetime.now(UTC))
    with open_connection() as connection:
        token = credentials.create(connection, tenant, scope or [TokenScope.INGEST], expires_at)
    if as_json:
        print_json({"token": token})
    else:
        print_line(token)


@tokens.command(name="list")
def list_tokens(*, as_json: AsJson = False) -> None:
    """List the tokens that were ever made, without showing them."""
    with open_connection() as connection:
        found = credentials.list_all(connection)
    if as_json:
        print_json({"tokens": [_token_json(token) for token in found]})
    else:
        print_sheet(_token_sheet(found))


@tokens.command()
def revoke(token_id: Annotated[int, typer.Argument(metavar="ID", help="From `callfare token list`.")]) -> None:
    """Take a token out of force. Running services notice within a second."""
    with open_connection() as connection:
        if not credentials.revoke(connection, token_id):
            raise CallfareError(f"no token {token_id} is in force; see `callfare token list`")
    print_line(f"token {token_id} is revoked")


def expiry_of(text: str, now: datetime) -> datetime:
    """Return the moment that `90d`, `12h` or `YYYY-MM-DD` means. Raises `CallfareError` unless it is to come."""
    try:
        if match := _DURATION.fullmatch(text.strip()):
            expires_at = now + timedelta(hours=int(match[1]) * _HOURS[match[2]])
        else:
            expires_at = datetime.combine(date.fromisoformat(text.strip()), datetime.min.time(), UTC)
    except (ValueError, OverflowError):
        raise CallfareError(f"--expires {text!r} is no time; write YYYY-MM-DD, 90d or 12h") from None
    if expires_at <= now:
        raise CallfareError(f"--expires {text!r} has passed; name a later time")
    return expires_at


def _token_json(token: Token) -> dict[str, object]:
    return {
        "token_id": token.token_id,
        "tenant": _tenants_text(token),
        "scope": _scopes_text(token),
        "tenants": list(token.tenants),
        "scopes": [scope.value for scope in token.scopes],
        "created_at": jsonable(token.created_at),
        "revoked_at": jsonable(token.revoked_at),
        "expires_at": jsonable(token.expires_at),
        "last_used_at": jsonable(token.last_used_at),
    }


def _token_sheet(found: list[Token]) -> Sheet:
    return Sheet(
        title="Tokens (times are UTC)",
        columns=("id", "tenant", "scope", "created_at", "revoked_at", "expires_at", "last_used_at"),
        rows=tuple(
            (
                str(token.token_id),
                _tenants_text(token),
                _scopes_text(token),
                *map(short_time_text, (token.created_at, token.revoked_at, token.expires_at, token.last_used_at)),
            )
            for token in found
        ),
        unbroken=frozenset({"created_at", "revoked_at", "expires_at", "last_used_at"}),
        folds=(
            Fold(columns=("tenant", "scope"), into="tenant", separator="\n"),
            Fold(
                columns=("created_at", "revoked_at", "expires_at", "last_used_at"),
                into="times",
                separator="\n",
                words=(" created", " revoked", " expires", " last used"),
            ),
        ),
    )


def _tenants_text(token: Token) -> str:
    return ",".join(token.tenants)


def _scopes_text(token: Token) -> str:
    return ",".join(token.scopes)
