"""Attribution with a fallback, field by field."""

from cost_exporter.domain.attribution import NO_ATTRIBUTION, Attribution


def test_attribution_fills_gaps_from_its_fallback() -> None:
    """Field by field; nothing said on one side is the other side."""
    mine, theirs = Attribution(tenant="a"), Attribution(tenant="b", task="t")
    assert mine.with_fallback(theirs) == Attribution(tenant="a", task="t")
    assert mine.with_fallback(NO_ATTRIBUTION) is mine
    assert NO_ATTRIBUTION.with_fallback(theirs) is theirs
