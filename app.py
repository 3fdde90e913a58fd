"""The panel in a browser: `streamlit run app.py`."""

import streamlit as st

from mcp_core import ui

st.set_page_config(page_title="Model Control Panel", page_icon="mcp_core/ui/icon.png", layout="wide")

# Before anything heavy is imported: until this has run once, Streamlit lists the files of `pages/` as a menu.
page = st.navigation(
    {
        "": [
            st.Page(
                "pages/home.py",
                title="Home",
                icon=":material/home:",
                default=True,
                help="What is running, what ran last, and how the model servers are.",
            )
        ],
        "Work": [
            st.Page(
                "pages/run.py",
                title="Run",
                icon=":material/play_arrow:",
                help="Choose a task, fill in its form, and watch the answer come.",
            )
        ],
        "Follow": [
            st.Page(
                "pages/history.py",
                title="History",
                icon=":material/history:",
                help="All runs: charts over time, a table to filter and download, and a page for each run.",
            ),
            st.Page(
                "pages/cache.py",
                title="Cache",
                icon=":material/bolt:",
                help="Remembered answers: how many, how large, what they saved; clear them here.",
            ),
            st.Page(
                "pages/budgets.py",
                title="Budgets",
                icon=":material/savings:",
                help="What actors, teams and tasks may spend in a day or month, and what is left of it.",
            ),
            st.Page(
                "pages/health.py",
                title="Queue and health",
                icon=":material/monitor_heart:",
                url_path="health",
                help="What waits and runs, how the model servers and this machine are, and what went wrong lately.",
            ),
        ],
    }
)
ui.current_client()  # where the panel cannot start, the page ends here and says why
st.title(page.title, icon=page.icon)
ui.link_notes.top(page.url_path)
with ui.explained():
    page.run()
