"""The doctor: tries what this installation is made of, and says what to do about what does not work."""

import os
import platform
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Literal

from mcp_core.api.caching import cache_cipher
from mcp_core.api.host import MODEL_BYTES, disk_of, free_memory
from mcp_core.api.notes import Note, notes
from mcp_core.cache.base import Entry
from mcp_core.cache.factory import open_cache
from mcp_core.cache.memory import MemoryCache
from mcp_core.cache.tiered import TieredCache
from mcp_core.control import CancelToken
from mcp_core.errors import CacheError, ConfigurationError, MCPError
from mcp_core.formats import count, file_size
from mcp_core.providers.base import CachePolicy, CallScope, ChatRequest, Message
from mcp_core.providers.config import LOCAL, local_alias
from mcp_core.providers.model_file import is_intact, model_path
from mcp_core.providers.registry import Providers
from mcp_core.security.redaction import redactor
from mcp_core.settings import Settings, load_settings
from mcp_core.store import open_store

__all__ = ["PACKAGES", "Check", "Note", "diagnose", "notes"]

PACKAGES = (
    "streamlit",
    "pydantic",
    "requests",
    "requests-cache",
    "sqlalchemy",
    "alembic",
    "pandas",
    "plotly",
    "loguru",
    "xllamacpp",
    "psycopg",
    "redis",
    "cryptography",
)
"""The packages whose versions are told, which are also those most often missing."""

_SPACE = 500_000_000
_LOAD_SECONDS = 60.0
_TRIED = 100
"""Entries of the cache that are read, the newest ones."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried.

    Attributes:
        status: `ok`; `warn` (the panel works, though less well); `fail` (something does not work).
        message: what was found, one sentence.
        hint: what to do; empty where there is nothing to do.
    """

    name: str
    status: Literal["ok", "warn", "fail"]
    message: str
    hint: str = ""

    def as_json(self) -> dict[str, str]:
        """The check as JSON-compatible data."""
        return asdict(self)


def diagnose(load: Callable[[], Settings] = load_settings) -> Iterator[Check]:
    """Try everything, one check after another, each reported as soon as it is known. Never raises an `MCPError`.

    It writes to the data directory, the history (which is created or migrated) and the cache, asks every provider for
    its list of models, and loads the local model where that is on this machine; nothing is downloaded.

    Args:
        load: gives the settings; a bad one is itself a finding.
    """
    yield _python()
    yield _packages()
    try:
        settings = load()
    except ConfigurationError as error:
        yield _failed("settings", error)
        return
    yield _settings(settings)
    yield _data_dir(settings)
    yield _disk(settings)
    yield _memory(settings)
    yield _guarded("history", lambda: _history(settings))
    yield _guarded("cache", lambda: _cache(settings))
    if settings.redis_url:
        yield _guarded("redis", lambda: _redis(settings))
    yield from _plugins()
    yield from _models(settings)


def _failed(name: str, error: MCPError) -> Check:
    return Check(name, "fail", redactor.shapes(error.message), redactor.shapes(error.hint))


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except MCPError as error:
        return _failed(name, error)


def _python() -> Check:
    return Check("python", "ok", f"Python {platform.python_version()} on {platform.system()} {platform.machine()}.")


def _packages() -> Check:
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check("packages", "fail", f"Missing: {', '.join(missing)}.", "Run `pip install -r requirements.txt`.")
    return Check("packages", "ok", f"{', '.join(found)}.")


def _settings(settings: Settings) -> Check:
    given = [
        f"MCP_{name.upper()} ({source})"
        for name in Settings.model_fields
        if (source := settings.source_of(name)) != "default"
    ]
    return Check("settings", "ok", f"Set: {', '.join(given)}." if given else "All settings have their defaults.")


def _data_dir(settings: Settings) -> Check:
    path = settings.data_dir
    probe = path / f".doctor-{secrets.token_hex(4)}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"doctor")
        probe.unlink()
        free = shutil.disk_usage(path).free
    except OSError as error:
        return Check(
            "data directory",
            "fail",
            f"{path} cannot be written: {error.strerror or error}.",
            "Set MCP_DATA_DIR to a directory of your own.",
        )
    text = f"{path} is writable and has {file_size(free)} free."
    if free < _SPACE:
        return Check("data directory", "warn", text, "Free some space: the local model alone takes 100 MB.")
    return Check("data directory", "ok", text)


def _disk(settings: Settings) -> Check:
    for note in notes(settings):
        if note.topic == "disk":
            return Check("disk", "warn", note.text, note.hint)
    kind = disk_of(settings.data_dir).kind
    return Check("disk", "ok", f"What is kept here stays{f' ({kind})' if kind else ''}.")


def _memory(settings: Settings) -> Check:
    for note in notes(settings):
        if note.topic == "memory":
            return Check("memory", "warn", note.text, note.hint)
    free, needed = file_size(free_memory()), file_size(MODEL_BYTES)
    return Check("memory", "ok", f"{free} of memory are free; the local model takes about {needed}.")


def _history(settings: Settings) -> Check:
    with closing(open_store(settings.database_url, data_dir=settings.data_dir)) as store:
        info = store.info()
    return Check(
        "history",
        "ok",
        f"{count(info['runs'], 'runs')} in {info['dialect']} ({info['place']}), {file_size(info['size_bytes'])}, "
        f"schema {info['schema_version']}.",
    )


def _cache(settings: Settings) -> Check:
    key = secrets.token_hex(32)
    body = os.urandom(64).hex().encode()
    with closing(open_cache(settings, cache_cipher(settings))) as safe:
        # Past what keeps failures from runs, the guard and the memory in front: here a failure is the finding.
        cache = safe.inner.back if isinstance(safe.inner, TieredCache) else safe.inner
        cache.set(Entry(key=key, body=body, expires_at=time.time() + 60))
        found = cache.get(key)
        cache.delete(key)
        held = cache.size()
        # Those that cannot be read are left out of the list.
        readable = sum(1 for _ in cache.entries(limit=_TRIED))
    if found is None or found.body != body:
        raise CacheError("The cache does not give back what it was given.", hint="Clear it: `cache clear`.")
    sealed = ", encrypted" if settings.cache_encryption == "on" else ""
    text = f"{settings.cache_backend}: {count(held.entries, 'entries')}, {file_size(held.size_bytes)}{sealed}."
    unreadable = min(held.entries, _TRIED) - readable
    if unreadable > 0:
        return Check(
            "cache",
            "warn",
            f"{text} {unreadable:,} of the newest cannot be read: damaged, or encrypted in another way.",
            "Set MCP_MASTER_KEY and MCP_CACHE_ENCRYPTION as they were, or clear the cache: `cache clear`.",
        )
    return Check("cache", "ok", text)


def _redis(settings: Settings) -> Check:
    from mcp_core.cache.redis_state import RedisState  # with all of Redis, which most can do without

    with closing(RedisState(settings.redis_url)) as state:
        away = state.trouble()
    if away is not None:
        return _failed("redis", away)
    return Check("redis", "ok", "It answers: all processes count failures and rates together.")


def _plugins() -> Iterator[Check]:
    from mcp_core.types.registry import default_registry

    try:
        registry = default_registry()
    except MCPError as error:
        yield _failed("types", error)
        return
    yield Check("types", "ok", f"{', '.join(registry.names())}.")
    for name, reason in registry.broken.items():
        yield Check(f"plugin {name}", "fail", f"It was left out: {reason}", "Mend, update or uninstall it.")


def _models(settings: Settings) -> Iterator[Check]:
    try:
        providers = Providers(settings, MemoryCache(1_000_000))
    except MCPError as error:
        yield _failed("providers", error)
        return
    with closing(providers):
        yield _guarded("local model", lambda: _local_model(settings, providers))
        for info in providers.list():
            if info.name != LOCAL:
                yield _provider(info.name, info.has_key, providers)


def _local_model(settings: Settings, providers: Providers) -> Check:
    alias = local_alias(settings)
    if not alias:
        return Check("local model", "ok", "It is switched off by MCP_LOCAL_MODEL.")
    path = model_path(settings)
    own = bool(settings.local_model.strip())
    if not own and not path.is_file():
        return Check(
            "local model",
            "warn",
            "It is not on this machine yet; the first run fetches it (25 MB to 100 MB).",
            "Fetch it now: `models pull`.",
        )
    if not own and not is_intact(path):
        return Check("local model", "fail", f"{path} is damaged: its checksum is wrong.", f"Delete {path}.")
    token = CancelToken(deadline=time.monotonic() + _LOAD_SECONDS)
    scope = CallScope(cancel=token, policy=CachePolicy("bypass"), max_retries=0)
    began = time.perf_counter()
    providers.local.endpoint(token)
    loaded = time.perf_counter() - began
    providers.complete(ChatRequest(f"{LOCAL}/{alias}", (Message("user", "Say yes."),), max_tokens=1), scope)
    return Check("local model", "ok", f"{LOCAL}/{alias} loads in {loaded:.1f} s and answers.")


def _provider(name: str, has_key: bool, providers: Providers) -> Check:
    if not has_key:
        return Check(f"provider {name}", "warn", "Its key is not set.", "Set the variable its `api_key_env` names.")
    health = providers.check(name)
    if not health.ok:
        return Check(f"provider {name}", "warn", health.message, health.hint)
    return Check(f"provider {name}", "ok", f"It answers in {(health.latency_seconds or 0) * 1000:.0f} ms.")
