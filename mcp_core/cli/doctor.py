"""`doctor`: what works here, and what to do about what does not."""

from argparse import Namespace

from mcp_core import __version__
from mcp_core.api.doctor import Check, diagnose
from mcp_core.cli.output import Output, plain
from mcp_core.cli.program import FAILED
from mcp_core.cli.session import open_settings
from mcp_core.formats import count

__all__ = ["doctor"]

_WORDS = {"ok": "ok", "warn": "look", "fail": "FAIL"}


def doctor(namespace: Namespace, out: Output) -> int:
    """Print each check as soon as it is known; the exit code is 1 where one failed, 2 where a setting is wrong."""
    checks = []
    for check in diagnose(lambda: open_settings(namespace)):
        checks.append(check)
        if not out.as_json:
            _print(check, out)
    failed = [check for check in checks if check.status == "fail"]
    if out.as_json:
        out.document({"ok": not failed, "version": __version__, "checks": [check.as_json() for check in checks]})
    elif failed:
        out.line(f"\nFailed: {len(failed)} of {count(len(checks), 'checks')}.")
    else:
        out.line("\nEverything needed works.")
    if any(check.name == "settings" for check in failed):
        return 2
    return FAILED if failed else 0


def _print(check: Check, out: Output) -> None:
    out.line(f"{_WORDS[check.status]:<4}  {plain(check.name)}: {plain(check.message, lines=True)}")
    if check.hint:
        out.line(f"      -> {plain(check.hint)}")
    out.flush()
