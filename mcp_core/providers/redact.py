"""Keeping keys out of what is shown, logged or stored, and foreign text short and harmless."""

import re
from collections.abc import Iterable

__all__ = ["MASK", "mask", "mask_bytes", "quote"]

MASK = "***"

_KEY_STYLES = re.compile(
    r"sk-[A-Za-z0-9_\-*.]{8,}"  # OpenAI, Anthropic and many gateways
    r"|AIza[A-Za-z0-9_\-]{20,}"  # Google
    r"|(?<![A-Za-z0-9])[A-Za-z0-9]{84}(?![A-Za-z0-9])"  # Azure
    r"|(?i:bearer\s+)[A-Za-z0-9_\-.=+/]{8,}"
)
_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]{0,500}>", re.IGNORECASE | re.DOTALL)


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` with every one of `secrets`, and everything that looks like a key of a known style, replaced by `***`."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    return _KEY_STYLES.sub(MASK, text)


def mask_bytes(body: bytes, secret: str | None) -> bytes:
    """`body` without `secret`: what a server echoes must not reach the cache."""
    if not secret:
        return body
    needle = secret.encode()
    return body.replace(needle, MASK.encode()) if needle in body else body


def quote(text: str, secrets: Iterable[str] = (), *, limit: int = 200) -> str:
    """A server's own words for a sentence: keys masked, tags and control characters gone, at most `limit` characters."""
    text = mask(text[: limit * 40], secrets)
    text = _TAGS.sub(" ", text)
    text = "".join(c if c.isprintable() else " " for c in text)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
