"""A certificate authority for one test, and certificates of it for 127.0.0.1, made with the openssl program."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Credential:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path

    def issue(self, name: str) -> "Credential":
        """A certificate of this authority for `name` on loopback."""
        folder = self.certificate.parent
        issued = Credential(folder / f"{name}.crt", folder / f"{name}.key")
        request, extensions = folder / f"{name}.csr", folder / f"{name}.ext"
        extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n")
        _openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", issued.key, "-out", request)
        signer = ("-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial", "-days", "2")
        _openssl("x509", "-req", "-in", request, *signer, "-extfile", extensions, "-out", issued.certificate)
        return issued


def authority(folder: Path, name: str = "callfare-test-ca") -> Credential:
    """A self-signed authority."""
    credential = Credential(folder / f"{name}.crt", folder / f"{name}.key")
    subject = ("-subj", f"/CN={name}", "-days", "2")
    _openssl(
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        *subject,
        "-keyout",
        credential.key,
        "-out",
        credential.certificate,
    )
    return credential


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
