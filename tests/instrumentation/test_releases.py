"""What only an older release lacks is skipped; what the pinned one lacks fails."""

import pytest

from tests.instrumentation import releases


@pytest.mark.parametrize("package", ["elevenlabs", "assemblyai"])
def test_the_pinned_release_lacks_nothing(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The methods that a test guards are gone from the pinned release: that is what the test is there to find."""
    pinned = releases.pinned(package)
    monkeypatch.setattr(releases, "version", lambda _: pinned)
    with pytest.raises(AssertionError, match="any more"):
        releases.skip_where_older_lacks(package, "dialogues", has=False)
    releases.skip_where_older_lacks(package, "dialogues", has=True)


def test_an_older_release_may_lack_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the test is skipped, and says for which release."""
    monkeypatch.setattr(releases, "version", lambda _: "2.0.0")
    with pytest.raises(pytest.skip.Exception, match=r"elevenlabs 2\.0\.0 has no dialogues yet"):
        releases.skip_where_older_lacks("elevenlabs", "dialogues", has=False)
