"""A history on a PostgreSQL server reached by TLS: `sslmode` in the address, from `require` to `verify-full`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from mcp_core.errors import StoreError
from mcp_core.store import open_store
from tests.store.backends import fresh_database
from tests.store.samples import finished
from tests.tls import Certificate, TLSProxy, make_certificate, tls_proxy

pytestmark = pytest.mark.integration


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return make_certificate(tmp_path / "tls")


@pytest.fixture
def database() -> Iterator[tuple[str, str]]:
    """The Unix socket of a real server, and the name of an empty database on it."""
    for address in fresh_database():
        url = make_url(address)
        directory = url.query["host"]
        assert isinstance(directory, str)
        assert url.database is not None
        yield f"{directory}/.s.PGSQL.{url.query.get('port', '5432')}", url.database


@pytest.fixture
def proxy(database: tuple[str, str], certificate: Certificate) -> Iterator[TLSProxy]:
    with tls_proxy(database[0], certificate, postgres=True) as running:
        yield running


def _url(port: int, name: str, mode: str, *, host: str = "localhost", authority: Path | None = None) -> str:
    trusted = "" if authority is None else f"&sslrootcert={authority}"
    return f"postgresql://postgres@{host}:{port}/{name}?sslmode={mode}{trusted}&connect_timeout=60&gssencmode=disable"


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_runs_are_stored_over_tls(
    mode: str, proxy: TLSProxy, database: tuple[str, str], certificate: Certificate, tmp_path: Path
) -> None:
    authority = None if mode == "require" else certificate.certificate
    run = finished()
    with open_store(_url(proxy.port, database[1], mode, authority=authority), data_dir=tmp_path) as store:
        assert store.save_run(run) is True
        assert store.get_run(run.id) == run
    assert proxy.handshakes >= 1
    assert proxy.refused == 0


def test_a_certificate_nobody_vouches_for_is_refused(
    proxy: TLSProxy, database: tuple[str, str], tmp_path: Path
) -> None:
    other = make_certificate(tmp_path / "other").certificate
    with pytest.raises(StoreError, match="certificate verify failed"):
        open_store(_url(proxy.port, database[1], "verify-full", authority=other), data_dir=tmp_path)


def test_a_certificate_of_another_host_is_refused(database: tuple[str, str], tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path / "tls", host="history.example.com")
    with tls_proxy(database[0], certificate, postgres=True) as proxy:
        with pytest.raises(StoreError, match="does not match host name"):
            open_store(
                _url(proxy.port, database[1], "verify-full", authority=certificate.certificate), data_dir=tmp_path
            )
        # Who signed it is all that is asked here.
        url = _url(proxy.port, database[1], "verify-ca", authority=certificate.certificate)
        with open_store(url, data_dir=tmp_path) as store:
            assert store.info()["dialect"] == "postgresql"
