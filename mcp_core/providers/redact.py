"""Foreign text made short and harmless before a person sees it or the cache keeps it."""

import re
from collections.abc import Iterable

from mcp_core.security.redaction import MASK, redactor, spellings

__all__ = ["excerpt", "mask_bytes", "quote"]

_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]{0,500}>", re.IGNORECASE | re.DOTALL)


def mask_bytes(body: bytes, secret: str | None) -> bytes:
    """`body` without `secret`: what a server echoes must not reach the cache."""
    if not secret:
        return body
    for spelling in spellings(secret):
        body = body.replace(spelling.encode(), MASK.encode())
    return body


def excerpt(body: bytes, secret: str | None, *, limit: int) -> str:
    """At most `limit` bytes of `body` as text, known secrets masked before anything is cut."""
    # A secret that straddles the limit would otherwise show its first half.
    text = mask_bytes(body[: limit + 1000], secret).decode("utf-8", "replace")
    text = redactor.known(text)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(body)} bytes in all)"


def quote(text: str, secrets: Iterable[str] = (), *, limit: int = 200) -> str:
    """A server's own words: keys masked, tags and control characters gone, at most `limit` characters."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    text = redactor.shapes(text[: limit * 40])
    text = _TAGS.sub(" ", text)
    text = "".join(c if c.isprintable() else " " for c in text)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
