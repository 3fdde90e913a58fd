"""Names of answers: the key of an entry, digests that tell which part of it changed, and fingerprints of secrets.

Two requests that mean the same have the same key: the order of object keys does not matter, and 1 equals 1.0 as it
does for every JSON reader that counts in floats. Whatever else differs changes the key.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias, Union

from mcp_core.errors import ConfigurationError

__all__ = [
    "JsonValue",
    "cache_key",
    "changed_parts",
    "explained_key",
    "fingerprint",
    "part_digests",
    "shortened_parts",
]

_PART_CHARACTERS = 1000
_ALL_CHARACTERS = 4000
_MARGIN = 500
"""What is masked beyond a cut: half a secret is one, too."""

_REMEMBERED_LENGTH = 200

JsonValue: TypeAlias = Union[str, int, float, bool, Sequence["JsonValue"], Mapping[str, "JsonValue"], None]  # noqa: UP007
"""Anything JSON can say. Read-only types, so that a `dict[str, list[str]]` is one as well."""


def cache_key(parts: Mapping[str, JsonValue]) -> str:
    """The key of the answer that `parts` lead to: SHA-256, 64 hexadecimal digits.

    Raises:
        ConfigurationError: a part is not JSON: NaN, infinity, bytes, a circle.
    """
    return explained_key(parts)[0]


def part_digests(parts: Mapping[str, JsonValue]) -> dict[str, str]:
    """Name of each part -> 8 hexadecimal digits of its hash; equal digests mean (almost surely) equal parts.

    Raises:
        ConfigurationError: a part is not JSON.
    """
    return explained_key(parts)[1]


def explained_key(parts: Mapping[str, JsonValue]) -> tuple[str, dict[str, str]]:
    """`cache_key` and `part_digests` at the price of one.

    Raises:
        ConfigurationError: a part is not JSON.
    """
    hashes = {name: _hash(value) for name, value in parts.items()}
    # Names are written as JSON: no name can look like the end of another part.
    key = hashlib.sha256(_canonical(hashes)).hexdigest()
    return key, {name: value[:8] for name, value in hashes.items()}


def changed_parts(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Names of the parts whose digests differ or that only one of the two has, sorted."""
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def shortened_parts(parts: Mapping[str, JsonValue], mask: Callable[[str], str]) -> str:
    """`parts` for an entry's `about`: a JSON object of texts of 1,000 characters at most, and 4,000 in all.

    Args:
        mask: takes secrets out of a text.
    """
    left = _ALL_CHARACTERS
    shown: dict[str, str] = {}
    for name, value in parts.items():
        text = value if isinstance(value, str) else _canonical(value).decode("utf-8", "replace")
        longest = min(_PART_CHARACTERS, left)
        if longest <= 0:
            break
        masked = mask(text[: longest + _MARGIN])
        shown[name] = masked if len(masked) <= longest else f"{masked[:longest]}…"
        left -= len(shown[name])
    return json.dumps(shown, ensure_ascii=False)


def fingerprint(secret: str, *, key: bytes) -> str:
    """A name for `secret` that tells nothing about it to anybody without `key`: 16 hexadecimal digits.

    Raises:
        ConfigurationError: `key` is empty, so the fingerprint could be guessed back.
    """
    if not key:
        raise ConfigurationError(
            "A secret cannot be fingerprinted without a master key.",
            hint="Set MCP_MASTER_KEY, or leave it empty for a key file made on first use.",
            field="MCP_MASTER_KEY",
        )
    return hmac.digest(key, secret.encode("utf-8", "surrogatepass"), "sha256")[:8].hex()


def _hash(value: JsonValue) -> str:
    if value is None or isinstance(value, int | float) or (isinstance(value, str) and len(value) <= _REMEMBERED_LENGTH):
        return _remembered_hash(value)
    return hashlib.sha256(_canonical(value)).hexdigest()


# Most parts (names, sampling settings, fingerprints) are the same from call to call. Typed: True is not 1.
@lru_cache(maxsize=4096, typed=True)
def _remembered_hash(value: str | float | None) -> str:
    return hashlib.sha256(_canonical(value)).hexdigest()


def _canonical(value: JsonValue) -> bytes:
    if type(value) is str and value.isascii() and value.isprintable() and '"' not in value and "\\" not in value:
        return f'"{value}"'.encode()  # what the encoder would write, at a tenth of its price
    try:
        text = _dumps(value)
        # A float that equals an int is written with ".0" or "e+"; only then the tree has to be walked, which costs
        # as much as writing it. Both may also stand in a string: that is slower, not wrong.
        if ".0" in text or "e+" in text:
            text = _dumps(_whole_as_int(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"This cannot be part of a cache key: {error}.",
            hint="Use values that JSON knows: text, finite numbers, true, false, null, lists and objects.",
        ) from None
    return text.encode("utf-8", "surrogatepass")


def _as_dict(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is not JSON")


_dumps = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"), default=_as_dict
).encode


def _whole_as_int(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {name: _whole_as_int(item) for name, item in value.items()}
    if isinstance(value, Sequence):
        return [_whole_as_int(item) for item in value]
    return value
