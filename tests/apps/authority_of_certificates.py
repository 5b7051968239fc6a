"""A certificate authority of a test's own, and what it signs."""

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


class CertificateAuthority:
    """Signs certificates for 127.0.0.1 and localhost. All files are in `home`."""

    def __init__(self, home: Path, name: str = "test authority") -> None:
        self.home = home
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._signed(self._name, self._key.public_key(), authority=True)
        self.file = self._written("ca.pem", self.certificate)

    def signs(self, name: str) -> tuple[Path, Path]:
        """Return the files of a certificate and of its key, which only their owner may read."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key.public_key(), authority=False)
        key_file = self.home / f"{name}.key"
        key_file.touch(mode=0o600)
        encoding = serialization.Encoding.PEM
        key_file.write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return self._written(f"{name}.pem", certificate), key_file

    def trusted(self) -> ssl.SSLContext:
        """Return the context of a client that trusts this authority."""
        return ssl.create_default_context(cafile=str(self.file))

    def _signed(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, authority: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _written(self, name: str, certificate: x509.Certificate) -> Path:
        file = self.home / name
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return file
