"""Keeping secrets out of what is written: known ones by value, others by their shape."""

import re
import threading
from collections.abc import Iterable
from typing import Any

from mcp_core.models import RunOutput

__all__ = ["MASK", "Redactor", "redactor"]

MASK = "[redacted]"

_SHAPES = re.compile(
    r"""
    \b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}              # OpenAI, Anthropic, Stripe and their like
    | \bAIza[A-Za-z0-9_-]{30,}                     # Google
    | \b(?:ghp|gho|ghs|ghu|github_pat)_[A-Za-z0-9_]{20,}
    | \bxox[abprs]-[A-Za-z0-9-]{10,}               # Slack
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b                # AWS
    | \bhf_[A-Za-z0-9]{20,}                        # Hugging Face
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{5,}   # JSON web tokens
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----[\s\S]*?-----END\ [A-Z ]*PRIVATE\ KEY-----
    """,
    re.VERBOSE,
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_NAMED = re.compile(
    r"""(?ix)
    (["']?\b[\w-]*(?:api[-_]?key|x-goog-api-key|secret|password|passwd|authorization|access[-_]?token|auth[-_]?token)["']?
     \s*[:=]\s*["']?)
    (?!\[redacted\])(?:(?:bearer|basic)\s+)?[^\s"',;&}]{6,}
    """
)
_URL = re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)")


class Redactor:
    """Masks secrets in text. Thread-safe.

    Known secrets are masked wherever they occur; `shapes` also masks what looks like a key or a credential.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None

    def learn(self, secrets: Iterable[str | None]) -> None:
        """Remember values to mask from now on. Those below 6 characters are left out: they would mask plain words."""
        with self._lock:
            known = self._known | {secret for secret in secrets if secret and len(secret) >= 6}
            if known != self._known:
                # The longest first, so that a secret that contains another is masked whole.
                ordered = sorted(known, key=len, reverse=True)
                self._pattern = re.compile("|".join(map(re.escape, ordered)))
                self._known = known

    def known(self, text: str) -> str:
        """`text` with every known secret masked."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def shapes(self, text: str) -> str:
        """`text` with known secrets masked, and all that looks like one: for logs and messages."""
        text = self.known(text)
        text = _SHAPES.sub(MASK, text)
        text = _BEARER.sub(lambda match: f"{match[1]} {MASK}", text)
        text = _NAMED.sub(lambda match: f"{match[1]}{MASK}", text)
        return _URL.sub(MASK, text)

    def data(self, value: Any) -> Any:
        """JSON-compatible `value` with known secrets masked in every text, keys of mappings included."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self._pattern.sub(MASK, value)
        if isinstance(value, dict):
            return {self.data(key): self.data(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.data(item) for item in value]
        return value

    def output(self, output: RunOutput) -> RunOutput:
        """`output` with known secrets masked: a server may echo the key it was sent."""
        if self._pattern is None:
            return output
        return output.model_copy(update={"text": self.known(output.text), "data": self.data(output.data)})


redactor = Redactor()
"""The process's redactor: a secret learnt anywhere is masked everywhere."""
