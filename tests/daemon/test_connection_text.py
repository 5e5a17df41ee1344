"""Text for people about the state of the connection."""

import pytest

from edged.config.settings import Settings
from edged.daemon.connection_text import TEXTS, describe_connection
from edged.model.errors import UnreachableError
from edged.stream.client import ConnectionState, ReconnectingClient
from edged.stream.connection_limiter import ConnectionLimiter
from tests.stream.some import Bench


@pytest.fixture
def client() -> ReconnectingClient:
    return ReconnectingClient(Settings(), Bench().lane, None, None, ConnectionLimiter(1), lambda event: None)


def test_a_client_begins_unconnected(client: ReconnectingClient) -> None:
    assert describe_connection(client) == "not connected"


def test_each_state_has_a_text() -> None:
    assert set(TEXTS) == set(ConnectionState)


def test_an_open_connection_streams_while_audio_is_pending(client: ReconnectingClient) -> None:
    client.state = ConnectionState.CONNECTED
    assert describe_connection(client, is_streaming=True) == "streaming"
    assert describe_connection(client, is_streaming=False) == "connected"


def test_while_a_client_backs_off_the_text_is_the_cause(client: ReconnectingClient) -> None:
    client.state, client.error = ConnectionState.BACKING_OFF, UnreachableError("the network is down")
    assert describe_connection(client, is_streaming=True) == "the network is down"
