"""Certificates of a server: refused at the start where they cannot be used, renewed later without a restart."""

import logging
import shutil
from pathlib import Path

import pytest

from cost_exporter.errors import SettingsError
from cost_exporter.settings import TlsFiles
from tests.support import certificates

FIXTURES = Path(__file__).parents[1] / "fixtures" / "tls"


@pytest.fixture
def pair(tmp_path: Path) -> certificates.Credential:
    """A certificate and its key, to be replaced."""
    authority = certificates.authority(tmp_path)
    return authority.issue("first")


def renewed(pair: certificates.Credential, name: str) -> certificates.Credential:
    return certificates.authority(pair.key.parent, f"ca-of-{name}").issue(name)


def always_looking(pair: certificates.Credential, client_ca: Path | None = None) -> TlsFiles:
    return TlsFiles(pair.certificate, pair.key, client_ca, look_every_seconds=0)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing certificate, or one that is not PEM, is one line with the variable."""
    with pytest.raises(SettingsError, match=r"^CALLFARE_TLS_CERT: cannot read .*missing.pem"):
        TlsFiles(tmp_path / "missing.pem", FIXTURES / "key.pem")
    (tmp_path / "cert.pem").write_bytes(b"nothing")
    with pytest.raises(SettingsError, match="is not PEM"):
        TlsFiles(tmp_path / "cert.pem", FIXTURES / "key.pem")


def test_an_authority_that_is_none_is_one_line(tmp_path: Path) -> None:
    """PEM, but no certificate in it."""
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with pytest.raises(SettingsError, match=r"^CALLFARE_TLS_CLIENT_CA: .*ca.pem holds no certificate"):
        TlsFiles(FIXTURES / "cert.pem", FIXTURES / "key.pem", tmp_path / "ca.pem")


def test_a_key_of_another_certificate_is_one_line() -> None:
    """Files that do not fit are refused at the start, not at the first connection."""
    with pytest.raises(SettingsError, match=r"^CALLFARE_TLS_CERT: .* do not belong together"):
        TlsFiles(FIXTURES / "cert.pem", FIXTURES / "client.pem")


def test_the_key_is_never_shown() -> None:
    """It is in no repr, so that it cannot reach a log."""
    files = TlsFiles(FIXTURES / "cert.pem", FIXTURES / "key.pem")
    assert "KEY" not in repr(files) + repr(files.current())


def test_a_renewed_pair_is_used(pair: certificates.Credential) -> None:
    """Both files replaced, as certbot and cert-manager do."""
    files = always_looking(pair)
    before = files.current()
    assert files.current() is before
    after = renewed(pair, "second")
    after.certificate.replace(pair.certificate)
    after.key.replace(pair.key)
    assert files.current().certificate == pair.certificate.read_bytes() != before.certificate
    assert files.current().key == pair.key.read_bytes()


def test_a_renewal_is_used_when_both_files_are_there(
    pair: certificates.Credential, caplog: pytest.LogCaptureFixture
) -> None:
    """In between the old pair stays, and the log says once why."""
    files = always_looking(pair)
    before = files.current()
    after = renewed(pair, "second")
    after.certificate.replace(pair.certificate)
    with caplog.at_level(logging.INFO, "cost_exporter.settings.tls"):
        assert [files.current(), files.current()] == [before, before]
        assert len(caplog.messages) == 1
        assert "do not belong together" in caplog.messages[0]
        after.key.replace(pair.key)
        assert files.current().certificate != before.certificate
        assert "was renewed" in caplog.messages[1]


def test_lost_files_leave_the_service_as_it_is(pair: certificates.Credential, tmp_path: Path) -> None:
    """A volume that is unmounted for a moment closes nothing."""
    files = always_looking(pair)
    before = files.current()
    aside = shutil.move(pair.key, tmp_path / "aside.key")
    assert files.current() is before
    shutil.move(aside, pair.key)
    assert files.current().certificate == before.certificate


def test_the_files_are_looked_at_once_a_moment(pair: certificates.Credential) -> None:
    """Not at every handshake."""
    seconds = [0.0]
    files = TlsFiles(pair.certificate, pair.key, look_every_seconds=1.0, monotonic_seconds=lambda: seconds[0])
    before = files.current()
    after = renewed(pair, "second")
    after.certificate.replace(pair.certificate)
    after.key.replace(pair.key)
    seconds[0] = 0.9
    assert files.current() is before
    seconds[0] = 1.0
    assert files.current() is not before
