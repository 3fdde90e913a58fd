"""Cannot be imported."""

import a_module_that_nobody_has

__all__ = ["run_broken"]

run_broken = a_module_that_nobody_has.run
