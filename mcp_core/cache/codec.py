"""An entry as bytes and back: what the backends that outlive the process keep.

Layout, all numbers big-endian::

    4 bytes   magic "MCPE"
    1 byte    format version
    1 byte    0 for a plain body, 1 for one compressed by zlib
    4 bytes   length of the header
    4 bytes   length of the body before compression
    4 bytes   CRC-32 of all the rest: the bytes above, header and body as stored
    header    JSON object: all fields of the entry but the body
    body

No pickle: reading a file somebody else wrote can go wrong, but it cannot run anything.
"""

import json
import math
import struct
import zlib
from decimal import Decimal

from mcp_core.cache.base import Entry
from mcp_core.errors import CacheError

__all__ = ["FORMAT_VERSION", "decode", "encode"]

FORMAT_VERSION = 2
"""Raised with every change of the layout; entries of another version are missing."""

_HEAD = struct.Struct(">4sBBII")
_CHECK = struct.Struct(">I")
_MAGIC = b"MCPE"

_COMPRESS_FROM = 16_384
"""Shorter bodies are kept plain: zlib takes twice as long as writing them, to save what nobody misses. From here on
it costs 0.1 ms and more, but more than halves what counts against the byte cap."""

_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError, struct.error, zlib.error)

_dumps = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


def encode(entry: Entry) -> bytes:
    """`entry` as bytes.

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
    body, packed = entry.body, 0
    if len(body) >= _COMPRESS_FROM:
        squeezed = zlib.compress(body, 1)
        if len(squeezed) < len(body) * 0.9:
            body, packed = squeezed, 1
    head = _HEAD.pack(_MAGIC, FORMAT_VERSION, packed, len(header), len(entry.body))
    check = zlib.crc32(body, zlib.crc32(header, zlib.crc32(head)))
    return b"".join((head, _CHECK.pack(check), header, body))


def decode(data: bytes, key: str | None = None) -> Entry | None:
    """The entry that `data` hold; None where they are of another version, damaged, or not of `key` (None: any)."""
    try:
        magic, version, packed, header_size, body_size = _HEAD.unpack_from(data)
        if magic != _MAGIC or version != FORMAT_VERSION or packed > 1:
            return None
        view = memoryview(data)[_HEAD.size + _CHECK.size :]
        if _CHECK.unpack_from(data, _HEAD.size) != (zlib.crc32(view, zlib.crc32(data[: _HEAD.size])),):
            return None
        header = json.loads(bytes(view[:header_size]))
        body = bytes(view[header_size:])
        if packed:
            # Bounded by the length that was stored, so that damage cannot fill the memory.
            body = zlib.decompressobj().decompress(body, body_size + 1)
        if len(body) != body_size or (key is not None and header["key"] != key):
            return None
        return Entry(
            key=_text(header["key"]),
            body=body,
            content_type=_text(header["content_type"]),
            created_at=_number(header["created_at"]),
            expires_at=None if header["expires_at"] is None else _number(header["expires_at"]),
            latency_seconds=_number(header["latency_seconds"]),
            cost_usd=None if header["cost_usd"] is None else Decimal(_text(header["cost_usd"])),
            run_id=_text(header["run_id"]),
            labels={_text(name): _text(label) for name, label in header["labels"].items()},
        )
    except _DAMAGE:
        return None


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(f"{value!r} is not text")


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise TypeError(f"{value!r} is not a finite number")
