"""What Alembic runs: the migrations, on the connection and in the transaction of whoever opens the store."""

from alembic import context

from mcp_core.store.schema import metadata

__all__: list[str] = []

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
