"""TLS towards a tracking server: whom to trust, and what to say when that fails."""

import ssl
from typing import Final

import aiohttp

from runwright.errors import TrackerUnavailableError

AUTHORITY_REMEDY: Final = (
    "put that authority (PEM) into the TrackingStack: server.external.caBundle, or ca.crt in the Secret of "
    "server.tlsSecretName"
)
UNKNOWN_AUTHORITY: Final = frozenset({2, 7, 18, 19, 20, 21, 24, 26, 27})
"""X509_V_ERR_ codes (openssl/x509_vfy.h): no issuer, one of the same name with another key, a self-signed one, one
that is no (trusted) authority."""
NOT_YET_VALID: Final = 9
EXPIRED: Final = 10
HOST_NAME: Final = frozenset({62, 64})
"""Neither the host's name nor its address is in the certificate."""


class BadBundleError(TrackerUnavailableError):
    """The authorities of a TrackingStack cannot be read; the message says where they are kept."""


def context(ca_bundle: str) -> ssl.SSLContext:
    """Trust the system's authorities and those of the bundle.

    Raises:
        BadBundleError: the bundle is no PEM.
    """
    made = ssl.create_default_context()
    # Python 3.13 refuses certificates without key identifiers, which Go, curl and older Pythons accept.
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    try:
        made.load_verify_locations(
            cadata=ca_bundle.encode("ascii", "replace").decode()
        )  # comments may be in any tongue
    except (ssl.SSLError, ValueError) as error:
        raise BadBundleError(
            "the authorities to trust cannot be read: server.external.caBundle, or ca.crt in the Secret of "
            "server.tlsSecretName, must be whole certificates from -----BEGIN CERTIFICATE----- to "
            "-----END CERTIFICATE-----"
        ) from error
    return made


def problem(error: aiohttp.ClientSSLError, host: str) -> str:
    """Say what is wrong, and what to do, in words that do not change from try to try."""
    if not isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "it speaks no TLS that the operator knows; check that trackingUri's https is right"
    cause = error.certificate_error
    code = getattr(cause, "verify_code", 0)
    if code in UNKNOWN_AUTHORITY:
        return f"its certificate comes from an authority that is not trusted; {AUTHORITY_REMEDY}"
    if code == EXPIRED:
        return "its certificate, or that of its authority, has expired; renew it"
    if code == NOT_YET_VALID:
        return "its certificate is not valid yet; check the clocks"
    if code in HOST_NAME:
        return f"its certificate is not made for {host}; make one for that name, or correct trackingUri"
    return f"its certificate is refused ({getattr(cause, 'verify_message', type(cause).__name__)}); make a better one"
