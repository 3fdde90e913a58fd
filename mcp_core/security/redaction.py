"""Keeping secrets out of what is written: known ones by value, others by their shape."""

import json
import re
import threading
from collections.abc import Iterable
from typing import Any

from mcp_core.models import RunOutput

__all__ = ["MASK", "MaskedStream", "Redactor", "redactor", "spellings"]

MASK = "[redacted]"

# Other people's text comes through here, and a regex holds the interpreter while it searches. So every pattern takes
# time in proportion to the text: what repeats begins where its run of characters does, never within it.
_SHAPES = re.compile(
    r"""
    \b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}              # OpenAI, Anthropic, Stripe and their like
    | \bAIza[A-Za-z0-9_-]{30,}                     # Google
    | \b(?:ghp|gho|ghs|ghu|github_pat)_[A-Za-z0-9_]{20,}
    | \bxox[abprs]-[A-Za-z0-9-]{10,}               # Slack
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b                # AWS
    | \bhf_[A-Za-z0-9]{20,}                        # Hugging Face
    | (?<![\w-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{5,}   # JSON web tokens
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----[^-]*+(?:-(?!----)[^-]*+)*+(?:-----END\ [A-Z ]*PRIVATE\ KEY-----|\Z)
    """,
    re.VERBOSE,
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_NAMED = re.compile(
    r"""(?ix)
    (["']?(?<![\w-])[\w-]*(?:api[-_]?key|x-goog-api-key|secret|password|passwd|authorization|access[-_]?token|auth[-_]?token)["']?
     \s*[:=]\s*["']?)
    (?!\[redacted\])(?:(?:bearer|basic)\s+)?[^\s"',;&}]{6,}
    """
)
_URL = re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)")


def spellings(secret: str) -> frozenset[str]:
    """`secret`, and as it stands within JSON."""
    return frozenset({secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]})


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
            known = self._known.union(*(spellings(secret) for secret in secrets if secret and len(secret) >= 6))
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

    def stream(self) -> "MaskedStream":
        """A text that comes in pieces, masked on its way."""
        return MaskedStream(self)

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


class MaskedStream:
    """Masks known secrets in a text that comes in pieces, also one that is cut between two of them.

    What could be the beginning of a secret is held back until it is known not to be one. The pieces given out, put
    together, are `Redactor.known` of those taken in.

    Attributes:
        found: whether a secret has come by.
    """

    def __init__(self, owner: Redactor) -> None:
        self._owner = owner
        self._held = ""
        self.found = False

    def feed(self, piece: str) -> str:
        """Take in the next piece; returns what is safe to show by now, which may be nothing."""
        text, known, pattern = self._held + piece, self._owner._known, self._owner._pattern
        if pattern is None:
            return text
        longest = max(map(len, known), default=0)
        shown, at = [], 0
        while True:
            held = next(
                (start for start in range(max(at, len(text) - longest + 1), len(text)) if _begins(text[start:], known)),
                len(text),
            )
            match = pattern.search(text, at)
            # At what is held back a longer secret may begin than the one that is complete.
            if match is None or match.start() >= held:
                break
            self.found = True
            shown += [text[at : match.start()], MASK]
            at = match.end()
        shown.append(text[at:held])
        self._held = text[held:]
        return "".join(shown)

    def flush(self) -> str:
        """What was held back, now that nothing follows."""
        text, self._held = self._held, ""
        masked = self._owner.known(text)
        self.found = self.found or masked != text
        return masked


def _begins(text: str, secrets: Iterable[str]) -> bool:
    """Whether one of the secrets begins with `text` and goes on."""
    return any(len(secret) > len(text) and secret.startswith(text) for secret in secrets)


redactor = Redactor()
"""The process's redactor: a secret learnt anywhere is masked everywhere."""
