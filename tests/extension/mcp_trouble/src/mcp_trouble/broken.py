"""Cannot be imported: it needs what is not installed."""

from importlib import import_module

__all__ = ["run_broken"]

run_broken = import_module("a_module_that_nobody_has").run
