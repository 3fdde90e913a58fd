"""What a whole run costs, from validation to its record in the history, against bare `requests` and against peers.

    python benchmarks/calls.py [--json] [--rounds 300]

Peers (requests-cache, diskcache, openai, litellm, langchain-openai) are measured in the same run where they are
installed: `pip install diskcache openai litellm fastapi orjson soundfile langchain-openai langchain-community`. The
three after litellm are what its cache loads.
"""

import argparse
import importlib.util
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import Figure, figure, interleaved, model_server, report

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import requests

from mcp_core import LLMPromptConfig, MCPClient, Run, load_settings

Case = Callable[[int], object]

UNCACHED_TARGET = 2.0
MEMORY_HIT_TARGET = 0.0005
SQLITE_HIT_TARGET = 0.001


def panel(directory: Path, url: str, backend: str, **more: str) -> MCPClient:
    """A client whose provider `bench` is the stand-in server; `more` are further settings."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "providers.toml").write_text(
        f'version = 1\n[providers.bench]\nprotocol = "openai"\nbase_url = "{url}"\nmodels = ["m"]\n'
    )
    values = {"MCP_DATA_DIR": str(directory), "MCP_CACHE_BACKEND": backend, "MCP_LOCAL_MODEL": "off", **more}
    return MCPClient(load_settings(values, directory=directory))


def ask(client: MCPClient, question: str) -> Run:
    """One whole run: a config validated, executed and recorded."""
    config = LLMPromptConfig(template="question {{ n }}", model="bench/m")
    run = client.execute(config, {"n": question})
    if run.status != "succeeded":
        raise SystemExit(f"a run failed: {run.error}")
    return run


def body(question: object) -> dict[str, Any]:
    """The same question for everybody."""
    return {
        "model": "m",
        "messages": [{"role": "user", "content": f"question {question}"}],
        "temperature": 0,
        "max_tokens": 512,
    }


def installed(*modules: str) -> bool:
    """Whether all these packages are there."""
    return all(importlib.util.find_spec(module) for module in modules)


def uncached(url: str, tmp: Path, rounds: int) -> list[Figure]:
    """A fresh question every time."""
    plain = requests.Session()
    client = panel(tmp / "uncached", url, "sqlite")
    endpoint = f"{url}/chat/completions"
    cases: dict[str, Case] = {
        "requests": lambda i: plain.post(endpoint, json=body(i), timeout=30).json(),
        "panel": lambda i: ask(client, f"u{i}"),
    }
    if installed("openai"):
        import openai

        sdk = openai.OpenAI(base_url=url, api_key="k")
        cases["openai sdk"] = lambda i: sdk.chat.completions.create(**body(i))
    if installed("litellm"):
        import litellm

        litellm.suppress_debug_info = True
        cases["litellm"] = lambda i: litellm.completion(base_url=url, api_key="k", **{**body(i), "model": "openai/m"})
    if installed("langchain_openai"):
        from langchain_openai import ChatOpenAI

        chain = ChatOpenAI(base_url=url, api_key="k", model="m")
        cases["langchain-openai"] = lambda i: chain.invoke(f"question {i}")
    taken = interleaved(cases, rounds)
    client.close()
    base = taken["requests"]
    return [
        figure(f"uncached call: {name}", seconds * 1e3, "ms", baseline=base * 1e3, target=target)
        for name, seconds in taken.items()
        for target in [UNCACHED_TARGET if name == "panel" else None]
    ]


def cached(url: str, tmp: Path, rounds: int) -> list[Figure]:
    """The same question again: from memory, and from the file by a process that has not seen it."""
    memory = panel(tmp / "memory", url, "memory")
    ask(memory, "same")
    writer = panel(tmp / "file", url, "sqlite")
    for i in range(rounds + 10):
        ask(writer, f"f{i}")
    writer.close()
    reader = panel(tmp / "file", url, "sqlite")

    def from_memory(_: int) -> None:
        assert ask(memory, "same").cache == "hit"

    def from_file(i: int) -> None:
        assert ask(reader, f"f{i}").cache == "hit"

    cases: dict[str, Case] = {"panel, memory": from_memory, "panel, sqlite": from_file}
    endpoint = f"{url}/chat/completions"
    if installed("diskcache"):
        import diskcache

        disk = diskcache.Cache(tmp / "disk")
        disk["k"] = requests.post(endpoint, json=body(0), timeout=30).json()
        cases["diskcache (no history)"] = lambda _: disk["k"]
    import requests_cache

    session = requests_cache.CachedSession(
        tmp / "rc", serializer="json", allowable_methods=("GET", "POST"), backend="sqlite"
    )
    cases["requests-cache sqlite (no history)"] = lambda _: session.post(endpoint, json=body(0), timeout=30).json()
    if installed("litellm"):
        import litellm

        litellm.cache = litellm.Cache(type="local")
        cases["litellm memory (no history)"] = lambda _: litellm.completion(
            base_url=url, api_key="k", caching=True, **{**body(0), "model": "openai/m"}
        )
    if installed("langchain_openai", "langchain_community"):
        from langchain_community.cache import SQLiteCache
        from langchain_core.globals import set_llm_cache
        from langchain_openai import ChatOpenAI

        chain = ChatOpenAI(base_url=url, api_key="k", model="m", temperature=0)
        set_llm_cache(SQLiteCache(str(tmp / "lc.db")))
        cases["langchain sqlite (no history)"] = lambda _: chain.invoke("question 0")
    taken = interleaved(cases, rounds)
    memory.close()
    reader.close()
    targets = {"panel, memory": MEMORY_HIT_TARGET * 1e3, "panel, sqlite": SQLITE_HIT_TARGET * 1e3}
    return [figure(f"cached: {name}", seconds * 1e3, "ms", target=targets.get(name)) for name, seconds in taken.items()]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=300)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, model_server() as url:
        tmp = Path(directory)
        figures = uncached(url, tmp, args.rounds) + cached(url, tmp, args.rounds)
    report(figures, as_json=args.json)


if __name__ == "__main__":
    main()
