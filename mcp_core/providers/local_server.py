"""The local model's process: `python -m mcp_core.providers.local_server`, started by `LocalModel` alone.

One line of JSON on standard input says what to serve: `{"model", "alias", "key", "n_ctx", "n_parallel", "n_threads"}`.
One line on standard output answers with `{"url"}`. From then on standard input is the leash: it ends when the parent
ends, however it does, and the server ends with it.
"""

import json
import os
import signal
import sys
from typing import Any

__all__ = ["main"]


def main() -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the parent, which may still want its last answers
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the library prints is no answer
    asked: dict[str, Any] = json.loads(sys.stdin.readline())
    server = _serve(asked)
    answers.write(json.dumps({"url": server.listening_address}) + "\n")
    answers.flush()
    sys.stdin.read()
    # Ending in order would wait for answers nobody reads any more.
    os._exit(0)


def _serve(asked: dict[str, Any]) -> Any:
    from xllamacpp import CommonParams, Server

    params = CommonParams()
    params.model.path = asked["model"]
    params.model_alias = {asked["alias"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [asked["key"]]
    params.n_parallel = asked["n_parallel"]
    params.n_ctx = asked["n_ctx"] * asked["n_parallel"]
    params.cpuparams.n_threads = asked["n_threads"]
    # By default its threads spin while they wait for each other, which brings a busy machine to a standstill.
    params.cpuparams.poll = 0
    params.use_jinja = True
    params.cache_ram_mib = 0  # by default it may keep 8 GB of earlier prompts
    params.cache_idle_slots = False
    params.ui = False
    params.endpoint_slots = False
    params.endpoint_props = False
    return Server(params)


if __name__ == "__main__":
    main()
