"""What compressing remembered answers costs and saves: zlib and zstd at several levels, on bodies of several sizes.

    python benchmarks/compression.py [--json] [--rounds 40]

Bodies are chat completions as servers send them, of words in the proportions of a language. For each size and way it
tells the milliseconds to pack and to unpack one body, and what share of its bytes is left. zstd is tried where Python
brings it (3.14) or `zstandard` is installed. The panel's own choice is the row `zlib 1`; its targets are that packing
takes no more than 2 ms and leaves no more than half of a body of 64 kB, where the cache begins to gain by it.
"""

import argparse
import importlib
import json
import random
import zlib
from collections.abc import Callable, Iterator
from functools import partial

from common import Figure, figure, interleaved, report

SIZES = (4_000, 16_000, 64_000, 1_000_000)
_JUDGED = ("zlib 1", 64_000)
_MOST_MS = 2.0
_MOST_LEFT = 0.5

Way = tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]


def body_of(size: int, *, seed: int = 1) -> bytes:
    """A chat completion of about `size` bytes, the same in every run."""
    dice = random.Random(seed)  # noqa: S311  (it makes up words)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = ["".join(dice.choices(letters, range(26, 0, -1), k=dice.randint(2, 9))) for _ in range(4000)]
    common = [1 / (place + 1) for place in range(len(words))]  # as words are in any language
    text = ""
    while len(text) < size:
        sentence = " ".join(dice.choices(words, common, k=dice.randint(4, 22)))
        text += f"{sentence.capitalize()}. "
    message = {"role": "assistant", "content": text[:size]}
    usage = {"prompt_tokens": 311, "completion_tokens": size // 5, "total_tokens": 311 + size // 5}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    payload = {"id": "chatcmpl-1", "object": "chat.completion", "model": "bench", "choices": choices, "usage": usage}
    return json.dumps(payload).encode()


def ways() -> Iterator[tuple[str, Way]]:
    """Name of each way to compress, and how it packs and unpacks."""
    for level in (1, 3, 6):
        yield f"zlib {level}", (partial(zlib.compress, level=level), zlib.decompress)
    for level in (1, 3):
        if (way := zstd(level)) is not None:
            yield f"zstd {level}", way


def zstd(level: int) -> Way | None:
    """zstd, where it is there."""
    try:
        module = importlib.import_module("compression.zstd")
        return partial(module.compress, level=level), module.decompress
    except ImportError:
        pass
    try:
        module = importlib.import_module("zstandard")
    except ImportError:
        return None
    # Reused as a program would: making one takes longer than packing a short body.
    packer, unpacker = module.ZstdCompressor(level=level), module.ZstdDecompressor()
    return packer.compress, unpacker.decompress


def _run(work: Callable[[bytes], bytes], data: bytes, _turn: int) -> None:
    work(data)


def measured(rounds: int) -> Iterator[Figure]:
    """All figures."""
    for size in SIZES:
        body = body_of(size)
        found = dict(ways())
        packed = {name: pack(body) for name, (pack, _) in found.items()}
        for name, (_, unpack) in found.items():
            if unpack(packed[name]) != body:
                raise SystemExit(f"{name} does not give back what it was given")
        # Megabytes take long enough to be told apart in fewer rounds.
        turns = rounds if size < 500_000 else max(1, rounds // 4)
        packing = interleaved({name: partial(_run, pack, body) for name, (pack, _) in found.items()}, turns, warm_up=1)
        unpacking = interleaved(
            {name: partial(_run, unpack, packed[name]) for name, (_, unpack) in found.items()}, turns, warm_up=1
        )
        for name in found:
            judged = (name, size) == _JUDGED
            label = f"{name}, {size // 1000} kB"
            yield figure(f"{label}: pack", packing[name] * 1000, "ms", target=_MOST_MS if judged else None)
            yield figure(f"{label}: unpack", unpacking[name] * 1000, "ms")
            left = len(packed[name]) / len(body)
            yield figure(f"{label}: bytes left", left, "", target=_MOST_LEFT if judged else None)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--rounds", type=int, default=40, help="measurements of each (default 40)")
    options = parser.parse_args()
    report(list(measured(options.rounds)), as_json=options.json)


if __name__ == "__main__":
    main()
