"""A span has the same hash before and after an upgrade: otherwise all that is sent again would be a conflict."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cost_exporter
from callfare import attributes as ours
from cost_exporter.domain.attribution import NO_ATTRIBUTION, Attribution
from cost_exporter.read.fields.content_hash import Extras, attribution_text, rare_text
from cost_exporter.read.fields.fingerprint import named
from tests.read.otlp_spans import CHAT, call

ROOT = Path(cost_exporter.__file__).parent.parent
USAGE = {"gen_ai.usage.input_tokens": 1_200, "gen_ai.usage.output_tokens": 345}
PLAIN: dict[str, Any] = {**CHAT, **USAGE, "gen_ai.response.id": "chatcmpl-1"}
ATTRIBUTED: dict[str, Any] = {**PLAIN, "callfare.tenant.id": "acme", "callfare.category": "bot", "user.id": "u1"}
PHONE: dict[str, Any] = {
    "gen_ai.operation.name": "phone_call",
    "gen_ai.provider.name": "twilio",
    "callfare.usage.call_seconds": 61.5,
    ours.CALL_ID: "CA1",
    ours.VENDOR_COST: "0.0255",
    ours.VENDOR_COST_CURRENCY: "USD",
    "callfare.user.id": "u1",
    "error.type": "busy",
}
PINNED = {"plain": -2855172968700190114, "attributed": -6377565123970732344, "phone call": 5578185251482546930}


def hashes() -> dict[str, int]:
    """Return the hashes of three spans: of few facts, with attribution, and of many facts."""
    spans = {"plain": PLAIN, "attributed": ATTRIBUTED, "phone call": PHONE}
    return {name: call(attributes).content_hash for name, attributes in spans.items()}


def test_three_hashes_are_pinned() -> None:
    """Whoever changes these makes a conflict of each span that is sent again, and needs another version of the hash."""
    assert hashes() == PINNED
    assert hashes() == PINNED  # the short way of a plain span, now that there is a pattern


def test_another_field_of_attribution_changes_no_hash(tmp_path: Path) -> None:
    """A field is added to a copy of the program, in front of the others, and the hashes are asked for again."""
    copy = tmp_path / "cost_exporter"
    shutil.copytree(ROOT / "cost_exporter", copy, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__", "recorded", "tls"))
    _insert(copy / "domain/attribution.py", "    tenant: str | None = None\n", "    team: str | None = None\n")
    _insert(copy / "read/vocabulary/aliases.py", '    "tenant": (ours', '    "team": ("callfare.team",),\n')
    program = "from tests.read import test_content_hash as t; from cost_exporter.domain.attribution import Attribution"
    ran = subprocess.run(
        [sys.executable, "-c", f"{program}; print(Attribution._fields[0], t.hashes())"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "instrumentation")])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == (f"team {PINNED}\n", "")


def _insert(path: Path, before: str, line: str) -> None:
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, line + before, 1), encoding="utf-8")


def test_what_is_hashed_is_named_and_only_what_says_something() -> None:
    """So a field that moves or is added later changes nothing, and no two fields can be taken for each other."""
    assert named(Attribution()) == ""
    assert named(Attribution(task="acme")) != named(Attribution(tenant="acme"))
    assert attribution_text(Attribution(tier="t", tenant="a b")) == "tenant='a b' tier='t'"
    extras = Extras(phone_call_id="CA1", has_failed=True, issues=("one",))
    assert rare_text(Attribution(tenant="a"), NO_ATTRIBUTION, extras) == (
        "tenant='a' has_failed=True issues=('one',) phone_call_id='CA1'"
    )
    assert rare_text(Attribution(tenant="a"), NO_ATTRIBUTION, Extras()) == attribution_text(Attribution(tenant="a"))
