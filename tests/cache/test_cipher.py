"""What an encrypted cache keeps from those who read its files, and what becomes of entries of another key."""

import json
from pathlib import Path

import pytest

from mcp_core.api.client import MCPClient
from mcp_core.api.doctor import diagnose
from mcp_core.cache.cipher import Cipher
from mcp_core.cache.codec import decode, encode, is_sealed
from mcp_core.cache.filesystem import FilesystemCache
from mcp_core.settings import Settings, load_settings
from tests.cache.helpers import entry, key_of, noise, said

__all__ = ["said"]

pytestmark = [pytest.mark.integration, pytest.mark.cache]

SECRET = "the words of the answer"
ASKED = "what nobody else may read"


@pytest.fixture(autouse=True)
def _unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings come once in a process: here, once in a test."""
    monkeypatch.setattr(Cipher, "_warned", frozenset())


@pytest.fixture
def cipher() -> Cipher:
    return Cipher(b"a master key")


@pytest.mark.parametrize("body", [b"", b"x", b"text " * 20_000, noise(70_000)], ids=["empty", "one", "long", "dense"])
def test_a_sealed_entry_survives(cipher: Cipher, body: bytes) -> None:
    stored = entry(body=body, about=json.dumps({"messages": ASKED}))
    assert decode(encode(stored, cipher), stored.key, cipher) == stored
    assert encode(stored, cipher) != encode(stored, cipher), "a nonce is never used twice"
    assert decode(encode(stored, Cipher(b"a master key")), None, cipher) == stored


def test_only_labels_can_be_read_without_the_key(cipher: Cipher) -> None:
    stored = entry(body=SECRET.encode(), about=json.dumps({"messages": ASKED}), labels={"task": "Greet"})
    sealed = encode(stored, cipher)
    assert b"Greet" in sealed
    assert SECRET.encode() not in sealed
    assert ASKED.encode() not in sealed


def test_a_changed_byte_of_a_sealed_entry_is_noticed(cipher: Cipher) -> None:
    sealed = encode(entry(), cipher)
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        assert decode(bytes(changed), None, cipher) is None
    # Also one whose checksum was set right again: labels are sealed with the rest, though anybody can read them.
    forged = encode(entry(labels={"task": "another"}), cipher)
    assert decode(sealed[: len(sealed) // 2] + forged[len(sealed) // 2 :], None, cipher) is None


def test_what_is_not_sealed_as_it_should_be_is_missing_and_said_once(cipher: Cipher, said: list[str]) -> None:
    plain, sealed, others = encode(entry()), encode(entry(), cipher), encode(entry(), Cipher(b"another"))
    for data, key in ((plain, cipher), (sealed, None), (others, cipher)):
        assert decode(data, None, key) is None
        assert is_sealed(data, key)
        assert is_sealed(data, key)
    warnings = [line for line in said if line.startswith("WARNING")]
    assert len(warnings) == 3
    assert any("encrypted with another master key" in line for line in warnings)
    assert not is_sealed(b"MCPE", cipher)
    assert not is_sealed(sealed[:-1] + b"!", cipher), "that is damage"


def test_with_another_key_entries_stay_but_are_missing(tmp_path: Path, cipher: Cipher, said: list[str]) -> None:
    writer = FilesystemCache(tmp_path, 1_000_000, cipher=cipher)
    writer.set(entry("a", SECRET.encode()))
    writer.set(entry("b"))
    other = FilesystemCache(tmp_path, 1_000_000, cipher=Cipher(b"another"))
    assert other.get(key_of("a")) is None
    assert other.get(key_of("b")) is None
    assert [line for line in said if "Dropped a damaged" in line] == []
    assert len([line for line in said if line.startswith("WARNING")]) == 1
    assert {item.key for item in other.find()} == {key_of("a"), key_of("b")}
    assert writer.get(key_of("a")) == entry("a", SECRET.encode())
    other.set(entry("a", b"new"))
    assert other.get(key_of("a")) == entry("a", b"new")
    assert other.delete(key_of("b")) is True


@pytest.mark.parametrize("backend", ["sqlite", "filesystem"])
def test_the_setting_encrypts_and_the_doctor_tells(tmp_path: Path, backend: str, said: list[str]) -> None:
    def settings(**values: str) -> Settings:
        common = {"MCP_DATA_DIR": str(tmp_path / "data"), "MCP_LOCAL_MODEL": "off", "MCP_CACHE_BACKEND": backend}
        return load_settings({**common, **values}, directory=tmp_path)

    sealed = {"MCP_CACHE_ENCRYPTION": "on", "MCP_MASTER_KEY": "a master key"}
    with MCPClient(settings(**sealed)) as client:
        client._cache.set(entry("a", SECRET.encode(), about=json.dumps({"messages": ASKED})))
        assert client.cache.show(key_of("a"))[1] is not None
        assert client.cache.find(), "labels are in the clear"
    written = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert key_of("a").encode() in written
    assert SECRET.encode() not in written
    assert ASKED.encode() not in written

    for values, status, words in (
        (sealed, "ok", "encrypted."),
        ({**sealed, "MCP_MASTER_KEY": "another"}, "warn", "1 of the newest cannot be read"),
        ({"MCP_MASTER_KEY": "a master key"}, "warn", "1 of the newest cannot be read"),
    ):
        (check,) = [check for check in diagnose(lambda: settings(**values)) if check.name == "cache"]  # noqa: B023
        assert (check.status, words in check.message) == (status, True), check
