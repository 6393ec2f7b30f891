"""Where a stack's MLflow answers, as its spec says."""

from runwright.apis.v1alpha1 import TrackingStack
from runwright.ports import TrackingServer
from runwright.trackingstack import secrets
from runwright.trackingstack.observed import SecretView
from runwright.trackingstack.options import Options
from runwright.trackingstack.parts import SERVER_PORT, Part, host, key_of

CA_LIMIT = 65536
"""Characters that the status takes."""


def server_of(stack: TrackingStack, options: Options, certificate: SecretView | None) -> TrackingServer:
    """Build the server's coordinates.

    Args:
        stack: What is wanted.
        options: Knows the cluster's domain.
        certificate: The Secret ``server.tlsSecretName``, whose authorities clients trust.
    """
    server = stack.spec.server
    if server is not None and server.external is not None:
        theirs = server.external
        client = theirs.credentials_secret_ref
        operator = theirs.operator_secret_ref or client
        return TrackingServer(
            theirs.tracking_uri.rstrip("/"),
            (theirs.ui_url or theirs.tracking_uri).rstrip("/"),
            operator_secret=key_of(stack, operator.name) if operator else None,
            client_secret=client.name if client else "",
            ca_bundle=theirs.ca_bundle or "",
        )
    tls = server is not None and bool(server.tls_secret_name)
    uri = f"{'https' if tls else 'http'}://{host(stack, Part.SERVER, options.cluster_domain)}:{SERVER_PORT}"
    ingress = server.ingress if server else None
    shown = f"{'https' if ingress.tls_secret_name else 'http'}://{ingress.host.lower()}" if ingress else uri
    authorities = certificate.authorities if tls and certificate is not None else ""
    login = secrets.has_login(stack)
    return TrackingServer(
        uri,
        shown,
        operator_secret=key_of(stack, secrets.operator_name(stack)) if login else None,
        client_secret=secrets.client_name(stack) if login else "",
        ca_bundle=authorities if len(authorities) <= CA_LIMIT else "",
    )
