"""Figures of this process and its machine: memory, processors, disk, threads, connections."""

import streamlit as st

from mcp_core.api.health import Health
from mcp_core.ui import text

__all__ = ["machine"]


def machine(now: Health) -> None:
    """A grid of figures; what they are made of is under the pointer."""
    found, pool = now.machine, now.history_pool
    threads = ", ".join(f"{count:,} {name}" for name, count in found.threads.items())
    with st.grid(4, min_column_width=150, gap="small"):
        _figure(
            "Memory free",
            text.file_size(found.memory_free_bytes),
            f"Of {text.file_size(found.memory_total_bytes)}; what this process may still take.",
        )
        _figure("This process", text.file_size(found.process_bytes), "Memory the app itself takes.")
        _figure(
            "Its processes",
            text.file_size(found.children_bytes),
            "Memory of the processes it started, such as the built-in model.",
        )
        _figure(
            "Processors",
            text.ratio(found.processor_ratio),
            f"How busy all {text.count(found.processors, 'processors')} of the machine are.",
        )
        _figure(
            "Disk free",
            text.file_size(found.disk_free_bytes),
            f"Of {text.file_size(found.disk_total_bytes)}, where the data directory is.",
        )
        _figure("Threads", text.count(found.thread_count), f"Of this process: {threads}.")
        _figure("Open files", text.count(found.open_files), "Of this process, connections included.")
        _figure(
            "History",
            f"{pool.in_use:,} of {pool.most:,}",
            f"Connections to the history in use; {pool.open:,} are open.",
        )


def _figure(label: str, value: str, words: str) -> None:
    st.metric(label, value, border=True, height="stretch", help=text.sentences(words))
