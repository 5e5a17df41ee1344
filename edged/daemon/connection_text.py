"""Text for people about the state of the connection to the server."""

from typing import Final

from edged.stream.client import ConnectionState, ReconnectingClient

TEXTS: Final = {
    ConnectionState.NEW: "not connected",
    ConnectionState.IDLE: "not connected: nobody speaks",
    ConnectionState.QUEUED: "waiting for the other connection to end",
    ConnectionState.CONNECTING: "connecting",
    ConnectionState.CONNECTED: "connected",
    ConnectionState.BACKING_OFF: "not connected",
}


def describe_connection(client: ReconnectingClient, *, is_streaming: bool = False) -> str:
    """Return the state in a few words; while the client backs off, that is the cause."""
    if client.state is ConnectionState.CONNECTED and is_streaming:
        return "streaming"
    return str(client.error) if client.error else TEXTS[client.state]
