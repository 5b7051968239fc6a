"""Files of keys: a new one for a secret; read a public Ed25519 key in the forms that programs write, make a private key, read it back."""

import base64
import binascii
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from apps.cli.trouble import Refused, WrongUsage

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

RAW_BYTES: Final = 32
FILE_MAX: Final = 16 * 1024
PRIVATE: Final = 0o600
FORMS: Final = "A public key is a PEM file (BEGIN PUBLIC KEY), a line `ssh-ed25519 ...`, or base64 of its 32 bytes."
ANOTHER: Final = "Name a new file: --out FILE"
MAKE_ONE: Final = "Make a pair: trade key generate --out FILE"


def public_key(file: Path) -> str:
    """Return the Ed25519 public key in a file as base64 of its 32 bytes. WrongUsage for anything else, a private key too."""
    content = _content(file)
    if b"PRIVATE KEY" in content:
        raise WrongUsage(f"{file} holds a private key, which is never sent.", f"{FORMS} {MAKE_ONE}")
    raw = _decoded(content)
    if raw is None:
        raise WrongUsage(f"{file} holds no Ed25519 public key.", f"{FORMS} {MAKE_ONE}")
    return base64.b64encode(raw).decode("ascii")


def private_key(file: Path) -> "Ed25519PrivateKey":
    """Return the Ed25519 private key of a PEM file without a passphrase. WrongUsage."""
    from cryptography.exceptions import UnsupportedAlgorithm  # late: only keys that sign need it
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        found = load_pem_private_key(_content(file), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # the cause may show parts of the key
        raise WrongUsage(f"{file} holds no private key as PEM without a passphrase.", MAKE_ONE) from None
    if not isinstance(found, Ed25519PrivateKey):
        raise WrongUsage(f"{file} holds a private key that is not Ed25519.", MAKE_ONE)
    return found


def new_private_key(file: Path) -> str:
    """Make a private key in a new file (PKCS #8 PEM, mode 0600); return its public key as base64 of 32 bytes. Refused if it exists."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    with NewFile(file) as out:
        out.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return base64.b64encode(key.public_key().public_bytes_raw()).decode("ascii")


class NewFile:
    """A new file of mode 0600 for a secret, created before there is one: what cannot be kept is not requested.

    Refused if it exists or cannot be written. It is removed again if nothing was written in it.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._written = False

    def __enter__(self) -> Self:
        try:
            self._out = os.fdopen(os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE), "wb")
        except OSError as error:
            raise self._refused(error) from error
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(OSError):  # what could not be written was reported then
            self._out.close()
        if not self._written:
            self.file.unlink(missing_ok=True)

    def write(self, content: bytes, remedy: str = ANOTHER) -> None:
        """Write the file durably. Refused, with this remedy, if that fails."""
        try:
            self._out.write(content)
            self._out.flush()
            os.fsync(self._out.fileno())
        except OSError as error:
            raise self._refused(error, remedy) from error
        self._written = True

    def _refused(self, error: OSError, remedy: str = ANOTHER) -> Refused:
        return Refused(f"{self.file} cannot be written: {error.strerror}.", remedy)


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(FILE_MAX)
    except OSError as error:
        raise WrongUsage(f"{file} cannot be read: {error.strerror}.") from error


def _decoded(content: bytes) -> bytes | None:
    """Return the 32 bytes of a key in one of the three forms; None if it is none of them, or of another algorithm."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key, load_ssh_public_key

    if not content.lstrip().startswith((b"-----", b"ssh-", b"ecdsa-", b"sk-")):
        try:
            raw = base64.b64decode(content.strip(), validate=True)
        except binascii.Error:
            return None
        return raw if len(raw) == RAW_BYTES else None
    try:
        load = load_pem_public_key if content.lstrip().startswith(b"-----") else load_ssh_public_key
        found = load(content.strip())
    except (ValueError, UnsupportedAlgorithm):
        return None
    return found.public_bytes_raw() if isinstance(found, Ed25519PublicKey) else None
