"""TLS in front of a real server: certificates made on the spot, and a proxy that ends the encryption."""

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["Certificate", "TLSProxy", "make_certificate", "tls_proxy"]

_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
"""With what a PostgreSQL client asks for TLS, in the clear; the server answers `S` and begins."""

_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """Paths of a self-signed certificate, which is its own authority, and of its key."""

    certificate: Path
    key: Path


def make_certificate(directory: Path, host: str = "localhost") -> Certificate:
    """A certificate for `host` (and, for localhost, its addresses), good for a day, in `directory`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    names: list[x509.GeneralName] = [x509.DNSName(host)]
    if host == "localhost":
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
    # Generous at both ends: clocks of machines that run tests are not always right.
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    directory.mkdir(parents=True, exist_ok=True)
    made = Certificate(directory / "certificate.pem", directory / "key.pem")
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made


class TLSProxy:
    """Takes TLS connections on a loopback port and passes what they carry on, in the clear.

    Args:
        target: `(host, port)` or the path of a Unix socket.
        postgres: whether clients ask for TLS as PostgreSQL's do, rather than begin with it.

    Attributes:
        handshakes: connections that were encrypted.
        refused: connections whose client did not accept the certificate, or spoke in the clear.
    """

    def __init__(self, target: tuple[str, int] | str, certificate: Certificate, *, postgres: bool = False) -> None:
        self.handshakes = 0
        self.refused = 0
        self._target = target
        self._postgres = postgres
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.certificate, certificate.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and break every connection."""
        # A listener that is only closed goes on accepting in the thread that waits there.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(_PATIENCE)
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        client.settimeout(_PATIENCE)
        try:
            if self._postgres:
                asked = b""
                while len(asked) < len(_SSL_REQUEST):
                    piece = client.recv(len(_SSL_REQUEST) - len(asked))
                    if not piece:
                        break
                    asked += piece
                if asked != _SSL_REQUEST:
                    raise OSError("the client speaks in the clear")
                client.sendall(b"S")
            secure = self._context.wrap_socket(client, server_side=True)
            server = self._reach()
        except OSError:  # what ssl raises is one as well
            with self._lock:
                self.refused += 1
            client.close()
            return
        with self._lock:
            self.handshakes += 1
            self._sockets |= {secure, server}
        for source, sink in ((secure, server), (server, secure)):
            source.settimeout(None)
            threading.Thread(target=_pump, args=(source, sink), daemon=True).start()

    def _reach(self) -> socket.socket:
        if isinstance(self._target, tuple):
            return socket.create_connection(self._target, timeout=_PATIENCE)
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._target)
        return server


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextmanager
def tls_proxy(target: tuple[str, int] | str, certificate: Certificate, *, postgres: bool = False) -> Iterator[TLSProxy]:
    """A proxy that is closed at the end of the block."""
    proxy = TLSProxy(target, certificate, postgres=postgres)
    try:
        yield proxy
    finally:
        proxy.close()
