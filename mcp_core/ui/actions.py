"""What can be done with a run: repeat it, take it along, send it on, change it."""

import json
from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.api.handle import RunHandle
from mcp_core.errors import ConfigurationError, MCPError
from mcp_core.models import Run, RunEvent, RunStatus
from mcp_core.ui import links, snippets, text
from mcp_core.ui.choices import tasks_of
from mcp_core.ui.client import current_actor
from mcp_core.ui.live import refused

__all__ = ["exchange_of", "exchange_view", "repeat", "resume", "run_actions"]


def run_actions(client: MCPClient, run: Run, *, key: str = "run", form_link: Mapping[str, str] | None = None) -> None:
    """A row of buttons for a finished run.

    Args:
        form_link: query parameters of the run form, where that is on the page already.
    """
    broken = _not_again(client, run)
    resumed = to_form = False
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        if run.status is RunStatus.INTERRUPTED:
            resumed = st.button(
                "Resume",
                icon=":material/resume:",
                type="primary",
                key=f"{key}.resume",
                disabled=bool(broken),
                help="Begins anew as another run, linked to this one; pressed twice, it is the same one. What models "
                "have answered before comes from the cache.",
            )
        again = st.button("Run again", icon=":material/replay:", key=f"{key}.again", disabled=bool(broken))
        fresh = st.button(
            "Run without cache",
            icon=":material/cloud_sync:",
            key=f"{key}.refresh",
            disabled=bool(broken),
            help="Asks the model again and remembers the new answer.",
        )
        if form_link is None:
            to_form = st.button(
                "Open in the form",
                icon=":material/edit:",
                key=f"{key}.form",
                disabled=bool(broken),
                help="Change it and run it again.",
            )
        _download(run, key)
    if broken:
        st.caption(f":material/block: {text.sentences(broken)}")
    # What is refused is told below the row, not between its buttons.
    if resumed:
        resume(client, run)
    elif again or fresh:
        repeat(client, run, cache="refresh" if fresh else None)
    elif to_form:
        st.switch_page(links.PAGES["run"], query_params={"from": run.id})
    _share(client, run, key, form_link)


def _not_again(client: MCPClient, run: Run) -> str:
    """Why the run can be neither repeated nor opened in the form; empty where it can."""
    try:
        client.parse(run.config)
    except ConfigurationError as error:
        if run.error is not None and run.error.type == ConfigurationError.__name__:
            return "It cannot be run from here: nothing of a task that is wrong is kept. Mend the task and run that."
        return f"It cannot be run again: its settings are not valid any more. {error}"
    return ""


def repeat(client: MCPClient, run: Run, *, cache: str | None = None) -> None:
    """Start the same run again and show the new one on this page."""
    _go_to(lambda: client.runs.repeat(run.id, actor=current_actor(), cache=cache))


def resume(client: MCPClient, run: Run) -> None:
    """Begin an interrupted run anew and show the new one on this page."""
    _go_to(lambda: client.runs.resume(run.id, actor=current_actor()))


def _go_to(start: Callable[[], RunHandle]) -> None:
    try:
        handle = start()
    except MCPError as error:
        refused(error)
        return
    st.query_params["run"] = handle.id
    st.rerun()


def _download(run: Run, key: str) -> None:
    name = f"run-{run.id[:12]}"
    with st.popover("Download", icon=":material/download:", key=f"{key}.download"):
        if run.output.text or run.output.data is not None:
            st.download_button(
                "Answer as Markdown",
                lambda: run.output.text or json.dumps(run.output.data, indent=2, ensure_ascii=False),
                file_name=f"{name}.md",
                mime="text/markdown",
                icon=":material/article:",
                key=f"{key}.md",
                on_click="ignore",
                width="stretch",
            )
        st.download_button(
            "Whole run as JSON",
            lambda: json.dumps(run.as_json(), indent=2, ensure_ascii=False),
            file_name=f"{name}.json",
            mime="application/json",
            icon=":material/data_object:",
            key=f"{key}.json",
            on_click="ignore",
            width="stretch",
        )


def _share(client: MCPClient, run: Run, key: str, form_link: Mapping[str, str] | None) -> None:
    # Not a popover: what is drawn only once it is open has no room on a small screen.
    box = st.expander("Share", icon=":material/share:", key=f"{key}.share", on_change="rerun")
    if not box.open:
        return
    with box:
        st.caption("Link to this run")
        st.code(links.run_url(client.settings, run.id), language=None, wrap_lines=True)
        if form_link is not None:
            st.caption("Link to the form as it is filled in")
            st.code(links.page_url(client.settings, "run", form_link), language=None, wrap_lines=True)
        ways = {"Command line": "bash", "Python": "python", "curl": "bash"}
        way = st.segmented_control("The same elsewhere", list(ways), default="Command line", key=f"{key}.way")
        if way == "Command line":
            code: str | None = snippets.as_command(run, client.registry, tasks_of(client))
        elif way == "Python":
            code = snippets.as_python(run)
        else:
            code = _curl(client, run)
        if code:
            st.code(code, language=ways.get(way or "", "bash"), wrap_lines=True)


def _curl(client: MCPClient, run: Run) -> str | None:
    provider = (run.model or "").partition("/")[0]
    if provider == "local":
        st.caption("The built-in model answers this panel alone. The command line and Python do the same from outside.")
        return None
    exchange = exchange_of(client.runs.events(run.id))
    if exchange is None and run.cache.original_run_id:
        exchange = exchange_of(client.runs.events(run.cache.original_run_id))
    info = next((info for info in client.providers.list() if info.name == provider), None)
    code = snippets.as_curl(exchange, info.headers if info else {}, info.api_key_env if info else "")
    if code is None:
        st.caption("Nothing was sent for this run. Run it without cache, and the request can be copied here.")
    return code


def exchange_of(events: Sequence[RunEvent]) -> RunEvent | None:
    """The last request and answer among a run's events; None where the model was not asked."""
    return next((event for event in reversed(events) if event.kind == "exchange"), None)


def exchange_view(client: MCPClient, run: Run, *, key: str = "run") -> None:
    """The raw request and response in an expander, as they went over the wire, secrets masked."""
    box = st.expander("Raw request and response", icon=":material/swap_vert:", on_change="rerun", key=f"{key}.exchange")
    if not box.open:
        return
    with box:
        exchange = exchange_of(client.runs.events(run.id))
        if exchange is None:
            st.caption("Nothing went over the wire: the answer came from the cache, or the run ended before.")
            if run.cache.original_run_id:
                st.caption(f"First asked by run {text.code(run.cache.original_run_id)}.")
            return
        data = exchange.data
        st.caption(f"Request to {text.escape(str(data.get('url', '')))}")
        _body(data.get("request"))
        st.caption(f"Response, status {text.escape(str(data.get('status', '?')))}")
        _body(data.get("response"))


def _body(body: object) -> None:
    shown = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    try:
        shown = json.dumps(json.loads(shown), indent=2, ensure_ascii=False)
    except ValueError:
        st.code(shown, language=None, wrap_lines=True, height=300 if len(shown) > 1500 else "content")
    else:
        st.code(shown, language="json", wrap_lines=True, height=300 if len(shown) > 1500 else "content")
