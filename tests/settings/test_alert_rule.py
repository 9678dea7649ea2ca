"""Receivers of alerts in the configuration file: what is understood, and what each mistake says."""

from pathlib import Path
from typing import get_args

import pytest

from cost_exporter.domain.alerting import AlertKind
from cost_exporter.errors import SettingsError
from cost_exporter.settings import Config, load_config
from cost_exporter.settings.alert_rule import On

SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"
HOOK = "name: ops, kind: webhook, url: https://example.com/hook, on: [budget]"


def load(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "callfare.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def test_a_whole_receiver_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`on` is a word and no truth value; secrets may come from the environment, and show nowhere."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    (rule,) = load(
        tmp_path,
        "alerts:\n"
        "  - name: ops\n    kind: webhook\n    url: https://example.com/hook?key=geheim\n"
        "    on: [budget, workflow_over, spike]\n"
        '    over_usd: "0.50"\n    spike_min_usd: "3"\n    secret: ${HOOK_SECRET}\n    tenant: acme\n',
    ).alerts
    assert rule.on == ("budget", "workflow_over", "spike")
    assert rule.key == b"ABCDEFGHIJKLMNOPQRSTUVWX"
    assert rule.url.get_secret_value() == "https://example.com/hook?key=geheim"
    assert "geheim" not in repr(rule)
    assert "QUJD" not in repr(rule)
    (rule,) = load(tmp_path, "alerts: [{name: s, kind: slack, url: https://hooks.slack.com/x, on: budget}]").alerts
    assert (rule.on, rule.key) == (("budget",), None)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("name: ops, kind: webhook, url: https://example.com", "on: is missing; add it"),
        ("name: ops, kind: webhook, url: https://example.com, on: []", "on is empty"),
        ("name: ops, kind: webhook, url: https://example.com, on: [budgets]", "on.0"),
        ("name: ops, kind: pager, url: https://example.com, on: [budget]", "kind"),
        ("name: a b, kind: slack, url: https://example.com, on: [budget]", "name: must be 1 to 63"),
        ("name: ops, kind: webhook, url: example.com, on: [budget]", "url is no URL"),
        ("name: ops, kind: webhook, url: 'https://[', on: [budget]", "url is no URL"),
        ("name: ops, kind: webhook, url: ftp://example.com, on: [budget]", "url is no URL"),
        ("name: ops, kind: webhook, url: 'https://example.com/a b', on: [budget]", "url is no URL"),
        ("name: ops, kind: webhook, url: http://example.com, on: [budget]", "url is not https"),
        (
            "name: ops, kind: webhook, url: '${NOT_THERE_AT_ALL}', on: [budget]",
            "the environment has no NOT_THERE_AT_ALL",
        ),
        ("name: ops, kind: apprise, url: 'dbus://x', on: [budget]", "url does not begin with one of gchat"),
        ("name: ops, kind: apprise, url: 'json://example.com', on: [budget]", "url does not begin with one of"),
        ("name: ops, kind: email, url: 'gotify://x/y', on: [budget]", "url does not begin with one of mailto, mailtos"),
        (HOOK + ', over_usd: "1"', "over_usd has no effect without workflow_over"),
        (HOOK + ', spike_min_usd: "1"', "spike_min_usd has no effect without spike"),
        (HOOK + ", silence_minutes: 10", "silence_minutes has no effect without silence"),
        (HOOK + ", prices_old_days: 10", "prices_old_days has no effect without prices_old"),
        ("name: ops, kind: slack, url: https://example.com, on: [workflow_over]", "workflow_over needs over_usd"),
        ("name: ops, kind: slack, url: https://example.com, on: [prices_old], tenant: a", "of no tenant"),
        ("name: ops, kind: slack, url: https://example.com, on: [budget], secret: " + SECRET, "secret has no effect"),
        (HOOK + ", secret: hush", "secret must be whsec_"),
        (HOOK + ", secret: whsec_QUJD", "24 to 64 bytes"),
        (HOOK + ", secret: whsec_%%%", "24 to 64 bytes"),
        (HOOK + ", webhook_url: https://example.com", "is called url here; write url"),
        (HOOK + ", retries: 3", "is not a setting; remove it, or write one of name, kind, url, on"),
    ],
)
def test_a_mistake_says_how_to_fix_it(tmp_path: Path, fields: str, words: str) -> None:
    """In one line, and without the secret."""
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, f"alerts: [{{{fields}}}]")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_two_receivers_need_two_names(tmp_path: Path) -> None:
    """Deliveries go by the name."""
    with pytest.raises(SettingsError, match="two alerts are named 'ops'"):
        load(tmp_path, f"alerts: [{{{HOOK}}}, {{{HOOK}}}]")


def test_a_receiver_may_ask_for_every_kind_of_alert_there_is() -> None:
    """The configuration file and the domain list them apart, because neither may import the other."""
    assert get_args(On) == get_args(AlertKind)
