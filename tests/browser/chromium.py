"""Finds a Chromium, or gets one: Debian's package or playwright's own download."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["chromium_path"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium_path(lock: Path) -> str:
    """The path of a browser that is there, or is by the time this returns.

    Args:
        lock: a file that test processes agree on; one of them installs, the others wait.

    Raises:
        RuntimeError: none is there and none could be got; says what was tried.
    """
    if found := _installed():
        return found
    tried = []
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if found := _installed():
            return found
        for command in _ways():
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=_environment())
            if done.returncode == 0 and (found := _installed()):
                return found
            tried.append(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-300:]}")
    raise RuntimeError("No Chromium is there and none could be installed.\n" + "\n".join(tried))


def _installed() -> str | None:
    for name in _NAMES:
        if path := shutil.which(name):
            return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def _ways() -> list[list[str]]:
    ways = []
    if shutil.which("apt-get") and os.geteuid() == 0:
        ways += [["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]]
    ways.append([sys.executable, "-m", "playwright", "install", "chromium"])
    return ways


def _environment() -> dict[str, str]:
    return {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
