import gc
import threading
import weakref

import pytest

from mcp_core.api.client import MCPClient
from mcp_core.settings import Settings
from mcp_core.ui.model_picker import offers_of

pytestmark = pytest.mark.integration


def test_offers_are_kept_as_long_as_their_client_and_no_longer(settings: Settings) -> None:
    client = MCPClient(settings)
    offers = offers_of(client)
    assert offers_of(client) is offers
    assert offers.names() == ()
    gone, offers_gone = weakref.ref(client), weakref.ref(offers)
    for thread in threading.enumerate():
        if thread.name == "mcp-models":
            thread.join()
    client.close(drain_seconds=0)
    del client, offers
    gc.collect()
    assert gone() is None
    assert offers_gone() is None
