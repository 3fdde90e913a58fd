"""What a request may take, before it is sent: an estimate to show, and a bound to reserve money by."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcp_core.models import Usage
from mcp_core.providers.base import ChatRequest

__all__ = ["UNBOUNDED_ANSWER", "Estimate", "estimate"]

UNBOUNDED_ANSWER = 4096
"""Tokens an answer is taken to have at most where a request does not bound it: the server's own limit is not known."""

_BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens of one request.

    Attributes:
        input_tokens: about so many: a token for four bytes of text, as in English. What the server counts, it counts
            by its model's own vocabulary.
        most: what it can take at most: a token for every byte of the whole request, since no vocabulary has a token
            for less, and the longest answer it allows.
        bounded: whether the request bounds its answer (`max_tokens`); else `UNBOUNDED_ANSWER` stands for the bound.
    """

    input_tokens: int
    most: Usage
    bounded: bool

    def stopped_after(self, text: str) -> Usage:
        """About what was used of it where only `text` has come."""
        return Usage(
            input_tokens=self.input_tokens,
            output_tokens=min(self.most.output_tokens, _tokens_of(text)),
        )


def estimate(request: ChatRequest, body: Mapping[str, Any]) -> Estimate:
    """The tokens of `request`, which is sent as `body`."""
    sent = len(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
    longest = UNBOUNDED_ANSWER if request.max_tokens is None else request.max_tokens
    return Estimate(
        input_tokens=_tokens_of("".join(message.content for message in request.messages)),
        most=Usage(input_tokens=sent, output_tokens=longest),
        bounded=request.max_tokens is not None,
    )


def _tokens_of(text: str) -> int:
    return max(1, round(len(text.encode("utf-8", "replace")) / _BYTES_PER_TOKEN))
