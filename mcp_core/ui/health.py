"""How the model servers are: the local model on its way, and each provider with a test."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.api.notes import notes
from mcp_core.errors import MCPError
from mcp_core.providers.registry import ProviderHealth, ProviderInfo
from mcp_core.ui import text
from mcp_core.ui.trouble import fragment

__all__ = [
    "about",
    "banner",
    "local_model_notice",
    "local_model_on_its_way",
    "model_servers",
    "state_badge",
    "test_button",
    "test_result",
]

LOCAL = "local"
_LOOK_SECONDS = 0.5
_DOCS = "docs/settings.md"

_STATES: Mapping[str, tuple[str, str, Any]] = {
    "absent": ("Not fetched yet", ":material/download:", "gray"),
    "fetching": ("Being fetched", ":material/downloading:", "blue"),
    "ready": ("Ready to start", ":material/check_circle:", "green"),
    "loading": ("Starting", ":material/hourglass_top:", "blue"),
    "running": ("Running", ":material/check_circle:", "green"),
    "failed": ("Failed", ":material/error:", "red"),
    "no key": ("No key", ":material/key_off:", "orange"),
    "open": ("Left alone after failures", ":material/heart_broken:", "red"),
    "half-open": ("Tried again with the next call", ":material/healing:", "orange"),
}


def banner(client: MCPClient) -> None:
    """What everybody should know about this installation, such as a disk that is not kept."""
    for note in notes(client.settings, model_running=client.providers.local.state == "running"):
        show = st.warning if note.level == "warning" else st.info
        icon = ":material/memory:" if note.topic == "memory" else ":material/hard_drive:"
        show(text.sentences(note.hint), title=text.sentences(note.text), icon=icon)


def local_model_notice(client: MCPClient, model: str | None) -> None:
    """On a form that asks the local model: whether it has to be fetched first, how far that is, or why it failed."""
    if model is None or not model.startswith(f"{LOCAL}/"):
        return
    state = client.providers.local.state
    if state in ("fetching", "loading"):
        fragment(local_model_on_its_way, every=_LOOK_SECONDS)(client)
    elif state == "absent":
        st.caption(
            ":material/download: The built-in model (98 MB) is fetched once, when it is first asked. "
            "No key and no account are needed."
        )
    elif state == "failed":
        _failed(client)


def local_model_on_its_way(client: MCPClient) -> None:
    """How far fetching and loading are; draws the page anew when both are over."""
    local = client.providers.local
    state = local.state
    if state not in ("fetching", "loading"):
        st.rerun()
    done, total = local.progress
    if state == "fetching":
        words = "Fetching the built-in model"
        if total:
            words += f": {text.file_size(done)} of {text.file_size(total)}"
        st.progress(min(1.0, done / total) if total else 0.0, text=words)
    else:
        st.progress(1.0, text="Starting the built-in model")


def _failed(client: MCPClient) -> None:
    failure = client.providers.local.failure
    words = text.sentences(str(failure)) if failure else "Look at the log for the reason."
    st.warning(words, title="The built-in model is not available", icon=":material/cloud_off:")
    keyed = [info.name for info in client.providers.list() if info.name != LOCAL and info.has_key]
    if keyed:
        st.markdown(f"Choose a model of {text.escape(' or '.join(keyed))} in the settings, or try again.")
    else:
        st.markdown(
            "Set `OPENAI_API_KEY` or `ANTHROPIC_API_KEY` and start the app again, to use a provider with a key; "
            "or try again."
        )
    if st.button("Fetch again", icon=":material/refresh:", key="local.again"):
        client.providers.local.warm_up()
        st.rerun()


def model_servers(client: MCPClient) -> None:
    """Each provider with its state and a test."""
    infos = client.providers.list()
    for info in infos:
        with st.container(border=True):
            _provider(client, info)
    if len(infos) < 2:
        st.caption(
            f"Set `OPENAI_API_KEY` or `ANTHROPIC_API_KEY`, or write a `providers.toml`, and more models are here: "
            f"`{_DOCS}` says how."
        )


def _provider(client: MCPClient, info: ProviderInfo) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        state_badge(info)
        test_button(client, info)
    if info.name == LOCAL and info.state in ("fetching", "loading"):
        fragment(local_model_on_its_way, every=_LOOK_SECONDS)(client)
    elif info.name == LOCAL and info.state == "failed" and client.providers.local.failure:
        st.caption(f":material/error: {text.sentences(str(client.providers.local.failure))}")
    st.caption(about(info))
    test_result(info.name)


def state_badge(info: ProviderInfo) -> None:
    """A provider's name and its state; where it is ready, what the last test in this session found."""
    words, icon, colour = _STATES.get(info.state, ("Not tested", ":material/help:", "gray"))
    if info.name != LOCAL and info.state == "ready":
        words, icon, colour = _tested_state(_tested(info.name))
    with st.container(horizontal=True, vertical_alignment="center", gap="small", width="content"):
        st.markdown(f"**{text.escape(info.name)}**", width="content")
        st.badge(words, icon=icon, color=colour, width="content")


def test_button(client: MCPClient, info: ProviderInfo) -> None:
    """Asks the server how it is; fetches the local model where it is not there yet."""
    if info.name == LOCAL and info.state in ("absent", "failed"):
        if st.button("Fetch now", icon=":material/download:", key="local.fetch"):
            client.providers.local.warm_up()
            st.rerun()
    elif st.button("Test", icon=":material/network_check:", key=f"test.{info.name}", help=_test_help(info)):
        st.session_state[f"tested.{info.name}"] = _test(client, info.name)
        st.rerun()


def test_result(name: str) -> None:
    """What the last test in this session found; nothing where there was none."""
    tested = _tested(name)
    if tested is not None:
        _outcome(tested)


def _tested(name: str) -> ProviderHealth | None:
    found: ProviderHealth | None = st.session_state.get(f"tested.{name}")
    return found


def _tested_state(tested: ProviderHealth | None) -> tuple[str, str, str]:
    """What is known of a server that has been set up: nothing, before it was asked."""
    if tested is None:
        return "Not tested", ":material/help:", "gray"
    if tested.ok:
        return "Answers", ":material/check_circle:", "green"
    return "Does not answer", ":material/error:", "red"


def _test_help(info: ProviderInfo) -> str:
    return "Says how it is." if info.name == LOCAL else "Asks the server for its list of models; costs nothing."


def _test(client: MCPClient, name: str) -> ProviderHealth:
    with st.spinner(f"Asking {text.escape(name)}"):
        try:
            return client.providers.check(name)
        except MCPError as error:
            return ProviderHealth(name, False, None, error.message, error.hint)


def _outcome(tested: ProviderHealth) -> None:
    if tested.ok:
        took = f" in {text.seconds(tested.latency_seconds)}" if tested.latency_seconds is not None else ""
        st.caption(f":green[:material/check:] {text.sentences(tested.message)}{took}")
    else:
        st.caption(f":red[:material/error:] {text.sentences(tested.message)} {text.sentences(tested.hint)}")


def about(info: ProviderInfo) -> str:
    """Where a provider is and which models it has, escaped for a page."""
    if info.name == LOCAL:
        models = ", ".join(f"{LOCAL}/{model}" for model in info.models)
        return text.escape(f"Built in, on this machine, free. {models}".strip())
    models = text.count(len(info.models), "models") if info.models else "models as the server lists them"
    return text.escape(f"{info.protocol} protocol at {info.base_url}, {models}")
