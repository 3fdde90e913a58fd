"""Runs that are known by their record alone, made ready to be executed."""

from mcp_core.api.endings import refuse_masked
from mcp_core.api.live import LiveRun
from mcp_core.models import Actor, Run
from mcp_core.types.registry import Registry
from mcp_core.types.variables import validate_variables

__all__ = ["revived"]


def revived(run: Run, registry: Registry) -> LiveRun:
    """The run of that record, as the process that queued it had it.

    Raises:
        ConfigurationError: its type is not known here, its config is not understood, or it was given a secret.
    """
    refuse_masked(run)
    config = registry.parse(run.config, source=f"run {run.id}")
    # Who asked is known by id alone; what the role may do beyond running was checked when it was asked.
    actor = Actor(id=run.actor_id, name=run.actor_id, role="operator", team=run.team)
    variables = validate_variables(config.variable_specs(), run.variables)
    return LiveRun(run, actor, config, variables, registry.get(run.type), stream=True)
