"""Encryption of what a cache keeps: AES-256-GCM under a key derived from the master key by HKDF."""

import os
import threading

from loguru import logger

__all__ = ["Cipher"]

_NONCE_BYTES = 12
_NAME_BYTES = 4
_PURPOSE = b"model-control-panel cache v1"


class Cipher:
    """Seals payloads with a key of its own, derived from `master_key`. Thread-safe.

    A sealed payload is 4 bytes that name the key, a random nonce of 12 bytes, and the ciphertext with its tag.
    """

    _warned: frozenset[str] = frozenset()
    _lock = threading.Lock()

    def __init__(self, master_key: bytes) -> None:
        # Imported here: it takes 40 ms, and encryption is an option.
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        derived = HKDF(SHA256(), length=32 + _NAME_BYTES, salt=None, info=_PURPOSE).derive(master_key)
        self._box = AESGCM(derived[:32])
        self._name = derived[32:]
        self._invalid = InvalidTag

    def seal(self, payload: bytes, header: bytes) -> bytes:
        """`payload` encrypted; `header` stays as it is, but cannot be changed unnoticed."""
        nonce = os.urandom(_NONCE_BYTES)
        return self._name + nonce + self._box.encrypt(nonce, payload, header)

    def open(self, sealed: bytes, header: bytes) -> bytes | None:
        """The payload; None where it was sealed with another key, or was changed."""
        if not self.made(sealed):
            return None
        start = _NAME_BYTES + _NONCE_BYTES
        try:
            return self._box.decrypt(sealed[_NAME_BYTES:start], sealed[start:], header)
        except self._invalid:
            return None

    def made(self, sealed: bytes) -> bool:
        """Whether this key sealed it, as far as the name of the key tells."""
        return sealed[:_NAME_BYTES] == self._name

    @classmethod
    def warn_once(cls, why: str) -> bool:
        """Say, once in a process, why entries that are there cannot be used; returns True."""
        with cls._lock:
            if why in cls._warned:
                return True
            cls._warned |= {why}
        logger.warning(
            "Some remembered answers are {}, so models are asked again. Set MCP_MASTER_KEY and MCP_CACHE_ENCRYPTION "
            "as they were, or clear the cache.",
            why,
        )
        return True
