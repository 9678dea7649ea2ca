"""The CALLFARE_* variables of the application side, read when they are needed.

Nothing is cached: tests and long-lived shells change the environment, and none of these is read on a hot path
more than once a call.
"""

import os

__all__ = [
    "budget_fails_open",
    "budget_token",
    "budget_url",
    "captures_content",
    "config_file",
    "default_category",
    "default_tenant",
    "includes_stream_usage",
    "is_disabled",
    "logs_costs",
    "price_files",
    "records_all",
    "report_seconds",
    "spool_bytes_max",
    "spool_folder",
    "trusts_baggage",
]

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_REPORT_SECONDS_DEFAULT = 60.0
_SPOOL_MAX_MIB_DEFAULT = 256


def _flag(name: str, *, default: bool) -> bool:
    value = os.environ.get(name, "").strip().lower()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    return default


def is_disabled() -> bool:
    """CALLFARE_DISABLED, default off: nothing of callfare loads."""
    return _flag("CALLFARE_DISABLED", default=False)


def records_all() -> bool:
    """CALLFARE_RECORD_ALL, default on: record for cost what the sampler would drop."""
    return _flag("CALLFARE_RECORD_ALL", default=True)


def trusts_baggage() -> bool:
    """CALLFARE_TRUST_BAGGAGE, default on: callers may set attribution, such as the tenant, by W3C baggage."""
    return _flag("CALLFARE_TRUST_BAGGAGE", default=True)


def captures_content() -> bool:
    """CALLFARE_CAPTURE_CONTENT, default off: texts and transcripts may go onto spans."""
    return _flag("CALLFARE_CAPTURE_CONTENT", default=False)


def logs_costs() -> bool:
    """CALLFARE_LOG_COSTS, default off: one log line for each call that is priced in this process."""
    return _flag("CALLFARE_LOG_COSTS", default=False)


def includes_stream_usage() -> bool | None:
    """CALLFARE_INCLUDE_USAGE, default hosts known to take it: ask for token usage on streamed chat completions.

    1 asks every host, 0 none.
    """
    asks = _flag("CALLFARE_INCLUDE_USAGE", default=False)
    return None if not asks and _flag("CALLFARE_INCLUDE_USAGE", default=True) else asks


def default_tenant() -> str:
    """CALLFARE_TENANT: the tenant of every span that has no other."""
    return os.environ.get("CALLFARE_TENANT", "").strip()


def default_category() -> str:
    """CALLFARE_CATEGORY: the category of every span that has no other."""
    return os.environ.get("CALLFARE_CATEGORY", "").strip()


def price_files() -> tuple[str, ...]:
    """CALLFARE_PRICES: price files for `callfare.budget` beside what ships with the package, separated by commas."""
    stated = os.environ.get("CALLFARE_PRICES", "").replace(os.pathsep, ",")
    return tuple(os.path.expanduser(path) for part in stated.split(",") if (path := part.strip()))  # noqa: PTH111 - text


def config_file() -> str:
    """CALLFARE_CONFIG: the configuration file; applications use its `tiers` for `callfare.budget(tier=...)`."""
    return os.environ.get("CALLFARE_CONFIG", "").strip()


def budget_url() -> str:
    """CALLFARE_BUDGET_URL: web address of the service that keeps budgets, such as http://127.0.0.1:4319."""
    return os.environ.get("CALLFARE_BUDGET_URL", "").strip()


def budget_token() -> str:
    """CALLFARE_BUDGET_TOKEN: token for it, of scope ingest: the one that the spans are sent with."""
    return os.environ.get("CALLFARE_BUDGET_TOKEN", "").strip()


def budget_fails_open() -> bool | None:
    """CALLFARE_BUDGET_FAIL_OPEN, default unset: what becomes of calls while that service does not answer.

    Unset, hard budgets refuse once what was leased is used up, and a process that never reached the service passes.
    0 refuses there too, 1 lets all calls pass.
    """
    is_open = _flag("CALLFARE_BUDGET_FAIL_OPEN", default=False)
    return None if not is_open and _flag("CALLFARE_BUDGET_FAIL_OPEN", default=True) else is_open


def report_seconds() -> float:
    """CALLFARE_STT_REPORT_SECONDS, default 60: how often a long socket reports; 0 means only at its close."""
    try:
        seconds = float(os.environ.get("CALLFARE_STT_REPORT_SECONDS", ""))
    except ValueError:
        return _REPORT_SECONDS_DEFAULT
    return seconds if 0 <= seconds < float("inf") else _REPORT_SECONDS_DEFAULT


def spool_folder() -> str:
    """CALLFARE_SPOOL_DIR: folder in which spans wait while their receiver is away; empty for none."""
    return os.environ.get("CALLFARE_SPOOL_DIR", "").strip()


def spool_bytes_max() -> int:
    """CALLFARE_SPOOL_MAX_MIB, default 256: MiB that may wait there; beyond it the oldest spans are dropped."""
    text = os.environ.get("CALLFARE_SPOOL_MAX_MIB", "").strip()
    mebibytes = int(text) if text.isdecimal() and int(text) else _SPOOL_MAX_MIB_DEFAULT
    return mebibytes << 20
