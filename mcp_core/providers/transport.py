"""What went wrong below HTTP, in one sentence: names, connections, TLS, proxies, silence, cut bodies."""

import errno
import http.client
import socket
import ssl
from collections.abc import Iterator

import requests
import urllib3.exceptions as urllib3_errors

from mcp_core.cache.http import MAX_BODY_BYTES
from mcp_core.errors import APIError, ConfigurationError, MCPError
from mcp_core.providers.failures import Target
from mcp_core.providers.redact import quote

__all__ = ["CONNECT_TIMEOUT", "BodyTooLargeError", "refused_connection", "transport_failure"]

CONNECT_TIMEOUT = 10.0
"""Longest wait for a connection, looking up the name included, seconds."""

_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN)
_CUT = (
    ConnectionError,
    http.client.IncompleteRead,
    http.client.RemoteDisconnected,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
    urllib3_errors.ProtocolError,
    requests.exceptions.ChunkedEncodingError,
)


class BodyTooLargeError(requests.RequestException):
    """A body is longer than `MAX_BODY_BYTES`; the rest of it was not read."""


def refused_connection(target: Target) -> APIError:
    """What a call is told that nobody listens for."""
    return APIError(
        f"{target.name} refuses connections at {target.host}.",
        hint="Start the model server, or correct the provider's `base_url`.",
        provider=target.provider,
        transient=True,
    )


def transport_failure(error: BaseException, target: Target, read_timeout: float) -> MCPError:
    """`error`, raised by `requests` or what it stands on, as one of ours."""
    chain = tuple(_chain(error))

    def has(*kinds: type[BaseException]) -> bool:
        return any(isinstance(link, kinds) for link in chain)

    def failure(what: str, hint: str, *, transient: bool) -> APIError:
        return APIError(what, hint=hint, provider=target.provider, transient=transient)

    name, host = target.name, target.host
    if has(BodyTooLargeError):
        return failure(
            f"{name} at {host} sent an answer of more than {MAX_BODY_BYTES // 1_000_000} MB, which was not read.",
            "Check that `base_url` names a chat model server; lower `max_tokens` if it does.",
            transient=False,
        )
    if has(urllib3_errors.ProxyError, requests.exceptions.ProxyError):
        return failure(
            f"The proxy on the way to {name} at {host} does not work.",
            "Check HTTPS_PROXY and HTTP_PROXY, or name the host in NO_PROXY.",
            transient=False,
        )
    if has(socket.gaierror, urllib3_errors.NameResolutionError):
        passing = any(isinstance(link, socket.gaierror) and link.errno == socket.EAI_AGAIN for link in chain)
        return failure(
            f"The name {host} of {name} cannot be resolved.",
            "Check the provider's `base_url` and this machine's network.",
            transient=passing,
        )
    if certificate := next((link for link in chain if isinstance(link, ssl.SSLCertVerificationError)), None):
        return failure(
            f"The TLS certificate of {name} at {host} cannot be trusted: {quote(certificate.verify_message)}.",
            "Check `base_url`; for a certificate authority of your own, set REQUESTS_CA_BUNDLE to its file.",
            transient=False,
        )
    if has(ssl.SSLError, requests.exceptions.SSLError) and not has(ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return failure(
            f"No secure connection to {name} at {host} could be made.",
            "Check whether `base_url` has to begin with http:// or https://, and the server's TLS.",
            transient=False,
        )
    # urllib3's word for a refused connection is a kind of its word for one that took too long.
    if any(
        isinstance(link, urllib3_errors.ConnectTimeoutError) and not isinstance(link, urllib3_errors.NewConnectionError)
        for link in chain
    ):
        return failure(
            f"{name} at {host} did not accept a connection within {CONNECT_TIMEOUT:g} s.",
            "Check `base_url`, the network and any firewall in between.",
            transient=True,
        )
    if has(urllib3_errors.ReadTimeoutError, requests.exceptions.ReadTimeout, TimeoutError):
        return failure(
            f"{name} at {host} was silent for {read_timeout:.3g} s.",
            "Try again later, ask for a shorter answer, or raise the time limit.",
            transient=True,
        )
    if has(ConnectionRefusedError):
        return refused_connection(target)
    if any(isinstance(link, OSError) and link.errno in _UNREACHABLE for link in chain):
        return failure(
            f"{name} at {host} cannot be reached.", "Check this machine's network and `base_url`.", transient=True
        )
    if has(urllib3_errors.DecodeError, requests.exceptions.ContentDecodingError):
        return failure(
            f"{name} at {host} sent a body whose compression is broken.",
            "Check the server and any proxy in between.",
            transient=False,
        )
    if has(http.client.BadStatusLine) and not has(http.client.RemoteDisconnected):
        return failure(
            f"{name} at {host} does not speak HTTP.",
            "Check the port and http:// or https:// in `base_url`.",
            transient=False,
        )
    if has(*_CUT):
        return failure(
            f"{name} at {host} broke off the connection before the answer was whole.",
            "Try again; if it stays so, look at the server's log and any proxy in between.",
            transient=True,
        )
    if has(ValueError, requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema):
        return ConfigurationError(
            f"The address or a header of {target.provider} cannot be used: {quote(str(error), target.secrets)}.",
            hint="Correct the provider's `base_url`, `headers` or key.",
            field=f"providers.{target.provider}",
        )
    return failure(
        f"{name} at {host} could not be asked ({type(error).__name__}).",
        "Look at the log; then check the provider's configuration.",
        transient=False,
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """`error` and everything it stands for: causes, contexts, urllib3's reasons and wrapped arguments."""
    pending, seen = [error], set()
    while pending:
        link = pending.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        inner = (link.__cause__, link.__context__, getattr(link, "reason", None), *link.args)
        pending += [one for one in inner if isinstance(one, BaseException)]
