"""plotly's graph objects, imported in the one order that several threads may do it in.

plotly takes pandas from `sys.modules` wherever it finds it there, also half imported by another thread, and then fails.
To import pandas first is to wait for that thread.
"""

import pandas as pd  # noqa: F401  (has to be there, whole, before plotly is)
from plotly import graph_objects as go

__all__ = ["go"]
