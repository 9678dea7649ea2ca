"""The totals of every stage, kept in `benchmarks/trust.json` and shown in the README.

A stage that is interrupted adds nothing; whatever was added before stays. So the totals grow over as many runs as there
are, towards what each stage is meant to reach.
"""

import json
import re
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
STATE: Final = ROOT / "benchmarks" / "trust.json"
README: Final = ROOT / "README.md"
TARGETS: Final[dict[str, dict[str, int]]] = {
    "kills": {"kills": 1_000, "spans": 1_000_000},
    "fuzz": {"messages": 10_000_000},
    "overload": {"seconds": 3_600},
    "database_away": {"seconds": 3_600},
    "full_disk": {"fillings": 20},
    "clock_steps": {"steps": 10_000},
}
_NAMES: Final = {
    "kills": "`kill -9` of service, workers and PostgreSQL under load",
    "fuzz": "mutated requests decoded",
    "overload": "three tenants who send without a pause",
    "database_away": "the database away while clients send",
    "full_disk": "the database's disk full, then room again",
    "clock_steps": "the clock of service and database set by an hour, back and forth",
}
_TABLE: Final = re.compile(r"(?<=<!-- trust -->\n).*?(?=\n<!-- /trust -->)", re.DOTALL)


def load(path: Path = STATE) -> dict[str, dict[str, Any]]:
    """Return the totals by stage; none where nothing was tried yet."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def added(state: dict[str, dict[str, Any]], stage: str, figures: dict[str, int], on: str) -> dict[str, dict[str, Any]]:
    """Return the totals with one more run of a stage."""
    known = state.get(stage, {"runs": 0, "since": on})
    totals = {name: known.get(name, 0) + number for name, number in figures.items()}
    return state | {stage: {**known, **totals, "runs": known["runs"] + 1, "until": on}}


def save(state: dict[str, dict[str, Any]], path: Path = STATE, readme: Path = README) -> None:
    """Write the totals, and the table in the README."""
    path.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
    readme.write_text(_TABLE.sub(lambda _: table(state), readme.read_text(encoding="utf-8")), encoding="utf-8")


def shown(readme: Path = README) -> str:
    """Return the table that the README has."""
    found = _TABLE.search(readme.read_text(encoding="utf-8"))
    assert found is not None, "the README has no table between <!-- trust --> and <!-- /trust -->"
    return found[0]


def table(state: dict[str, dict[str, Any]]) -> str:
    """Return the totals as a table: what was reached of what is meant to be, what was lost or wrong, when."""
    lines = ["| Tried | so far | lost or wrong | last run |", "|---|---|---|---|"]
    for stage, targets in TARGETS.items():
        done = state.get(stage)
        if done is None:
            lines.append(f"| {_NAMES[stage]} | not yet | | |")
            continue
        reached = "; ".join(f"{done[unit]:,} of {target:,} {unit}" for unit, target in targets.items())
        beside = f", {done['spans']:,} spans acknowledged" if "spans" in done and "spans" not in targets else ""
        lines.append(f"| {_NAMES[stage]} | {reached}{beside} | {done['problems']} | {done['until']} |")
    return "\n".join(lines)
