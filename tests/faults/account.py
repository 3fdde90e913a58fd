"""The account of all faults: how many were tried, and what became of the runs. Printed at the end of a test session.

A pytest plugin, registered by `tests/conftest.py`. Under xdist each worker counts for itself and hands its counts over.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import pytest

__all__ = ["ACCOUNT", "Account"]


@dataclass
class Account:
    """Counts of one process, and in the end of all.

    Attributes:
        faults: ids of the tests that brought one about.
        runs: how many were asked for; lost: not in the history; doubled: there twice, or without being asked for.
        wrong_status: in the history with another end than was told, or wrong in its sums.
        leaked: files that hold a secret.
    """

    faults: list[str] = field(default_factory=list)
    runs: int = 0
    lost: int = 0
    doubled: int = 0
    wrong_status: int = 0
    leaked: int = 0

    def add(self, other: dict[str, Any]) -> None:
        """Add the counts of another process."""
        for name, value in other.items():
            setattr(self, name, getattr(self, name) + value)

    @property
    def line(self) -> str:
        """All of it in one line."""
        return (
            f"faults tried: {len(set(self.faults))}, runs: {self.runs:,}, lost: {self.lost}, doubled: {self.doubled}, "
            f"wrong status: {self.wrong_status}, secrets leaked: {self.leaked}"
        )


ACCOUNT = Account()
"""That of this process."""


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands its counts over."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["faults"] = asdict(ACCOUNT)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """The main process adds those of a worker; one that crashed has none."""
    ACCOUNT.add(getattr(node, "workeroutput", {}).get("faults", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the account, where any fault was tried."""
    if ACCOUNT.faults:
        terminalreporter.section("faults survived")
        terminalreporter.line(ACCOUNT.line)
