"""How commands check the certificates of services whose addresses are https."""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from apps.cli.trouble import WrongUsage
from apps.http.tls import client_context
from config.text import ConfigError

CA_VARIABLE: Final = "TRADE_CA_FILE"
CERT_VARIABLE: Final = "TRADE_CERT_FILE"
"""A certificate and its key in one PEM file, for services that ask clients for one (`access.tls.client_ca`)."""


def verification(environ: Mapping[str, str] = os.environ) -> ssl.SSLContext | bool:
    """Return what httpx checks certificates with: the named authority only, else the usual ones. WrongUsage for a bad file."""
    ca_file, cert = environ.get(CA_VARIABLE), environ.get(CERT_VARIABLE)
    if not ca_file and not cert:
        return True
    try:
        return client_context(Path(ca_file) if ca_file else None, Path(cert) if cert else None, named=(CA_VARIABLE, CERT_VARIABLE))
    except ConfigError as error:
        raise WrongUsage(f"{error}.", "Both name PEM files; unset them to use plain HTTP or the system's authorities.") from error
