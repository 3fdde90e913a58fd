"""An entry as bytes and back: what the backends that outlive the process keep.

Layout, all numbers big-endian::

    4 bytes   magic "MCPE"
    1 byte    format version
    1 byte    flags: 1 for a body compressed by zlib, 2 for a payload that is encrypted
    4 bytes   length of the header
    4 bytes   length of the parts
    4 bytes   length of the body before compression
    4 bytes   CRC-32 of all the rest: the bytes above, header and payload as stored
    header    JSON object: all fields of the entry but the body and the parts
    payload   the parts of the key (JSON text), then the body; sealed as one where a cipher is used

No pickle: reading a file somebody else wrote can go wrong, but it cannot run anything.
"""

import json
import math
import struct
import zlib
from decimal import Decimal
from typing import Any

from mcp_core.cache.cipher import Cipher
from mcp_core.cache.entry import Entry
from mcp_core.errors import CacheError

__all__ = ["FORMAT_VERSION", "HEAD_BYTES", "decode", "encode", "is_sealed", "read_head"]

FORMAT_VERSION = 3
"""Raised with every change of the layout; entries of another version are missing."""

HEAD_BYTES = 4096
"""Of a stored entry, as much as `read_head` needs unless its labels are unusually long."""

_HEAD = struct.Struct(">4sBBIII")
_CHECK = struct.Struct(">I")
_START = _HEAD.size + _CHECK.size
_MAGIC = b"MCPE"
_PACKED, _SEALED = 1, 2

_COMPRESS_FROM = 16_384
"""Shorter bodies are kept plain: zlib takes twice as long as writing them, to save what nobody misses. From here on
it costs 0.2 ms and more, but more than halves what counts against the byte cap (`benchmarks/compression.py`)."""

_LAST_MOMENT = 253_402_300_800
"""The year 10000, in seconds since 1970."""

_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError, struct.error, zlib.error)

_dumps = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


def encode(entry: Entry, cipher: Cipher | None = None) -> bytes:
    """`entry` as bytes; with a `cipher`, its body and the parts of its key can be read with the same key alone.

    Raises:
        CacheError: a field holds what the format cannot say, such as a NaN.
    """
    cost = entry.cost_usd
    try:
        header = _dumps(
            {
                "key": entry.key,
                "content_type": entry.content_type,
                "created_at": entry.created_at,
                "expires_at": entry.expires_at,
                "latency_seconds": entry.latency_seconds,
                "cost_usd": None if cost is None else str(cost),
                "run_id": entry.run_id,
                "labels": dict(entry.labels),
            }
        ).encode()
    except (TypeError, ValueError) as error:
        raise CacheError(f"An answer cannot be remembered: {error}.", hint="The run itself is not affected.") from None
    body, flags = entry.body, 0
    if len(body) >= _COMPRESS_FROM:
        squeezed = zlib.compress(body, 1)
        if len(squeezed) < len(body) * 0.9:
            body, flags = squeezed, _PACKED
    about = entry.about.encode("utf-8", "replace")
    payload = about + body if about else body
    if cipher is not None:
        flags |= _SEALED
        payload = cipher.seal(payload, header)
    head = _HEAD.pack(_MAGIC, FORMAT_VERSION, flags, len(header), len(about), len(entry.body))
    check = zlib.crc32(payload, zlib.crc32(header, zlib.crc32(head)))
    return b"".join((head, _CHECK.pack(check), header, payload))


def decode(data: bytes, key: str | None = None, cipher: Cipher | None = None) -> Entry | None:
    """The entry that `data` hold.

    None where they are of another version, damaged, not of `key` (None: any), or not sealed as `cipher` does.
    """
    try:
        magic, version, flags, header_size, about_size, body_size = _HEAD.unpack_from(data)
        if magic != _MAGIC or version != FORMAT_VERSION or flags > (_PACKED | _SEALED):
            return None
        # With a cipher a plain entry is none of ours: whoever can write to the cache could have put it there.
        if bool(flags & _SEALED) is not (cipher is not None):
            return None
        view = memoryview(data)[_START:]
        if _CHECK.unpack_from(data, _HEAD.size) != (zlib.crc32(view, zlib.crc32(data[: _HEAD.size])),):
            return None
        head = bytes(view[:header_size])
        header = json.loads(head)
        payload: memoryview | bytes = view[header_size:]
        if cipher is not None:
            opened = cipher.open(bytes(payload), head)
            if opened is None:
                return None
            payload = opened
        about = bytes(payload[:about_size]).decode() if about_size else ""
        body = bytes(payload[about_size:])
        if flags & _PACKED:
            # Bounded by the length that was stored, so that damage cannot fill the memory.
            body = zlib.decompressobj().decompress(body, body_size + 1)
        if len(body) != body_size or (key is not None and header["key"] != key):
            return None
        return _entry(header, body, about)
    except _DAMAGE:
        return None


def read_head(data: bytes) -> Entry | None:
    """The entry whose first bytes `data` are, without its body and the parts of its key; None where it is damaged."""
    try:
        magic, version, _, header_size, _, _ = _HEAD.unpack_from(data)
        if magic != _MAGIC or version != FORMAT_VERSION or len(data) < _START + header_size:
            return None
        return _entry(json.loads(data[_START : _START + header_size]), b"", "")
    except _DAMAGE:
        return None


def is_sealed(data: bytes, cipher: Cipher | None) -> bool:
    """Whether `data`, which `decode` did not take, are no damage but an entry of another key, or of none.

    The cipher says so once; such an entry is a miss and stays until another takes its place.
    """
    try:
        magic, version, flags, header_size, *_ = _HEAD.unpack_from(data)
    except struct.error:
        return False
    if magic != _MAGIC or version != FORMAT_VERSION or flags > (_PACKED | _SEALED):
        return False
    sealed = bool(flags & _SEALED)
    if cipher is None:
        return sealed and Cipher.warn_once("encrypted, and MCP_CACHE_ENCRYPTION is off")
    if not sealed:
        return Cipher.warn_once("not encrypted, though MCP_CACHE_ENCRYPTION is on")
    return not cipher.made(data[_START + header_size :]) and Cipher.warn_once("encrypted with another master key")


def _entry(header: Any, body: bytes, about: str) -> Entry:
    return Entry(
        key=_text(header["key"]),
        body=body,
        content_type=_text(header["content_type"]),
        created_at=_moment(header["created_at"]),
        expires_at=None if header["expires_at"] is None else _number(header["expires_at"]),
        latency_seconds=_number(header["latency_seconds"]),
        cost_usd=None if header["cost_usd"] is None else _money(header["cost_usd"]),
        run_id=_text(header["run_id"]),
        labels={_text(name): _text(label) for name, label in header["labels"].items()},
        about=about,
    )


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(f"{value!r} is not text")


def _money(value: object) -> Decimal:
    usd = Decimal(_text(value))
    if usd.is_finite():
        return usd
    raise ValueError(f"{value!r} is no amount of money")


def _moment(value: object) -> float:
    seconds = _number(value)
    if 0 <= seconds < _LAST_MOMENT:
        return seconds
    raise ValueError(f"{seconds} s after 1970 is in no calendar")


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise TypeError(f"{value!r} is not a finite number")
