"""Run a task: choose it, fill in its form, follow it live."""

import streamlit as st

from mcp_core import MCPError
from mcp_core.ui import (
    actions,
    current_actor,
    current_client,
    forecast,
    health,
    link_check,
    live,
    preview,
    task_form,
    task_picker,
    text,
)

client = current_client()
link_check.check_names("run")
left, right = st.columns(2, gap="medium")

with left:
    choice = task_picker(client)
    if choice.description:
        st.caption(text.escape(choice.description))

# The Run button stands where it can be seen together with the answer: a new task's settings are long.
side = right if choice.is_new else left
variables_slot, run_slot = side.container(), side.container()
settings_slot = left.container() if choice.is_new else left.expander("Settings", icon=":material/tune:")
filled = task_form.task_form(client, choice, variables_in=variables_slot, settings_in=settings_slot)
with side:
    preview.prompt_preview(filled.config, filled.variables)
with run_slot:
    health.local_model_notice(client, filled.config.asked_model() if filled.config else None)
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        pressed = st.button(
            "Run",
            icon=":material/play_arrow:",
            type="primary",
            shortcut="Ctrl+Enter",
            key="run.start",
            on_click=task_form.show_what_is_missing,
            args=(choice,),
        )
        priority = task_form.priority_picker()
    forecast_slot = st.container()

refused = False
with right:
    if pressed and filled.config is not None and filled.variables is not None:
        try:
            handle = client.submit(filled.config, filled.variables, actor=current_actor(), priority=priority)
            st.query_params["run"] = handle.id
        except MCPError as error:
            refused = True
            live.refused(error)
    if (run_id := st.query_params.get("run")) and link_check.is_run(client, run_id):
        run = live.live_view(client, run_id)
        if run is not None and run.status.is_final:
            actions.run_actions(client, run, form_link=filled.link)
            actions.exchange_view(client, run)
    elif not refused:
        live.nothing_yet()

if not refused:  # then the reason is told already, beside it
    with forecast_slot:
        forecast.forecast(client, filled.config, filled.variables)
