"""One connection over real sockets: what goes over the wire, and what each ending is called."""

import asyncio
from contextlib import suppress

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from websockets.http11 import Request, Response
from websockets.protocol import State

from edged import __version__
from edged.model.errors import RefusedError, UnreachableError
from edged.stream.connection import MAX_FRAGMENTS, Connection, ConnectionClosedError
from edged.stream.messages import ServerError, parse
from tests.stream.wire import KEY, converse, forever, settings

# Opening


def test_the_request() -> None:
    """Key, name, and what the audio is; no compression, as PCM does not deflate."""

    async def handler(server: ServerConnection) -> None:
        assert server.request
        headers = server.request.headers
        sent = {"Authorization", "User-Agent", "Sec-WebSocket-Extensions"} & {*headers}
        await server.send(f"{server.request.path}|{headers['Authorization']}|{headers['User-Agent']}|{sorted(sent)}")

    async def client(connection: Connection) -> None:
        text = await connection.receive()
        assert isinstance(text, str)
        path, authorization, agent, sent = text.split("|")
        assert path.startswith("/v1/listen?model=nova-3&encoding=linear16&sample_rate=16000&channels=1&")
        assert authorization == "Token <key>", "the key, as it is shown when a server says it back"
        assert agent == f"edged/{__version__}"
        assert "Sec-WebSocket-Extensions" not in sent

    converse(handler, client)


def test_without_a_key_there_is_no_authorization() -> None:
    """A server on this machine may need none."""

    async def handler(server: ServerConnection) -> None:
        assert server.request
        await server.send(str("Authorization" in server.request.headers))

    async def client(connection: Connection) -> None:
        assert await connection.receive() == "False"

    converse(handler, client, key=None)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("0a1b", "0a1b"),
        ("01a07aad-cb1e-78c3-9c1c-000000000000", "01a07aad-cb1e-78c3-9c1c-000000000000"),
        (KEY.reveal(), ""),
        (KEY.reveal().upper(), ""),
        (f"0a1b-{KEY.reveal()}", ""),
        ("a sentence of its own", ""),
        ("0a1b" * 17, ""),
        ("\u00fc", ""),
    ],
)
def test_the_request_id_is_kept_if_it_looks_like_one(sent: str, kept: str) -> None:
    """The server's support asks for it, and it stands in the log and in records."""

    def sign(_: ServerConnection, __: Request, response: Response) -> None:
        response.headers["dg-request-id"] = sent

    async def main() -> None:
        async with serve(forever, "127.0.0.1", 0, process_response=sign) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            connection = await Connection.open(settings(port), 16_000, KEY, None)
            assert connection.request_id == kept
            connection.abort()

    asyncio.run(main())


ESCAPED = "".join(f"\\u{ord(c):04x}" for c in KEY.reveal())
"""The key as it may stand in JSON."""


@pytest.mark.parametrize("message", [f'{{"error":"{ESCAPED}"}}', f'{{"error":"{ESCAPED}"}}'.encode()])
def test_a_key_that_is_said_back_in_any_writing_is_hidden(message: str | bytes) -> None:
    async def handler(server: ServerConnection) -> None:
        await server.send(message)
        await server.close(4000, KEY.reveal().upper())

    async def client(connection: Connection) -> None:
        parsed = parse(await connection.receive(), 16_000)
        assert isinstance(parsed, ServerError)
        assert parsed.text == "<key>"
        with pytest.raises(ConnectionClosedError, match="<key>"):
            await connection.receive()

    converse(handler, client)


def test_nor_does_a_refusal_tell_it() -> None:
    def refuse(server: ServerConnection, _: Request) -> Response:
        return server.respond(403, f'{{"err_msg":"no {ESCAPED}"}}')

    async def main() -> None:
        async with serve(forever, "127.0.0.1", 0, process_request=refuse) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            with pytest.raises(RefusedError, match="no <key>"):
                await Connection.open(settings(port), 16_000, KEY, None)

    asyncio.run(main())


# Talking


def test_messages_keep_their_kind_and_order() -> None:
    """Text as text, audio as binary."""

    async def handler(server: ServerConnection) -> None:
        await server.send(repr([await server.recv() for _ in range(3)]))

    async def client(connection: Connection) -> None:
        for message in (b"\x01\x02", '{"type":"Finalize"}', b"\x03\x04"):
            await connection.send(message)
        assert await connection.receive() == repr([b"\x01\x02", '{"type":"Finalize"}', b"\x03\x04"])

    converse(handler, client)


def test_what_is_used_of_websockets_inside() -> None:
    """Audio goes round its `send`, by what its documentation promises to nobody: from 15 on each of these is there."""

    async def handler(server: ServerConnection) -> None:
        assert await server.recv() == b"\x01\x02"
        await server.close()

    async def client(connection: Connection) -> None:
        inside = connection._socket
        assert inside.protocol.state is State.OPEN
        inside.protocol.send_binary(b"\x01\x02")
        frames = inside.protocol.data_to_send()
        assert [len(frame) for frame in frames] == [2 + 4 + 2], "a header, the mask and the audio"
        inside.transport.write(frames[0])
        await inside.drain()
        with pytest.raises(ConnectionClosedError):
            await connection.receive()
        assert inside.protocol.close_exc.rcvd == Close(1000, "")

    converse(handler, client)


def test_sending_to_a_network_that_takes_nothing() -> None:
    """A half-open socket takes audio for minutes without an error: `send_timeout_s` ends that."""
    stop = asyncio.Event()

    async def handler(server: ServerConnection) -> None:
        server.transport.pause_reading()
        await stop.wait()
        server.transport.abort()

    async def client(connection: Connection) -> None:
        async def speak() -> None:
            while True:
                await connection.send(bytes(100_000))

        with pytest.raises(ConnectionClosedError, match="the network has stopped taking data") as closed:
            await speak()
        assert closed.value.code is None
        stop.set()

    converse(handler, client, send_timeout_s=0.2)


@pytest.mark.slow
def test_a_ping_unanswered() -> None:
    """The second way to find a dead connection; the reason is named as ours, not the server's."""
    stop = asyncio.Event()

    async def handler(server: ServerConnection) -> None:
        server.transport.pause_reading()
        await stop.wait()
        server.transport.abort()

    async def client(connection: Connection) -> None:
        with pytest.raises(ConnectionClosedError, match="no answer to a ping") as closed:
            await connection.receive()
        assert closed.value.code is None
        stop.set()

    converse(handler, client, ping_interval_s=0.05, ping_timeout_s=0.05)


@pytest.mark.parametrize(
    ("code", "reason", "kind", "text"),
    [
        (1000, "", UnreachableError, "connection closed with code 1000"),
        (1008, "DATA-0000", RefusedError, "can't decode the audio"),
        (1011, "See https://dpgr.am/net0001", UnreachableError, "NET-0001"),
        (1012, "restart", UnreachableError, 'code 1012: "restart"'),
        (4400, f"hello {KEY.reveal()}", UnreachableError, 'code 4400: "hello <key>"'),
    ],
)
def test_the_server_closes(code: int, reason: str, kind: type[Exception], text: str) -> None:
    """The code is the server's, the error what that means for us; whoever sends next learns it too."""

    async def handler(server: ServerConnection) -> None:
        await server.close(code, reason)

    async def client(connection: Connection) -> None:
        for attempt in (connection.receive(), connection.send("{}")):
            with pytest.raises(ConnectionClosedError) as closed:
                await attempt
            assert closed.value.code == code
            assert isinstance(closed.value.error, kind)
            assert text in str(closed.value)

    converse(handler, client)


def test_the_network_breaks() -> None:
    """No code then."""

    async def handler(server: ServerConnection) -> None:
        server.transport.abort()

    async def client(connection: Connection) -> None:
        with pytest.raises(ConnectionClosedError, match="connection lost") as closed:
            await connection.receive()
        assert closed.value.code is None

    converse(handler, client)


def test_a_message_of_endless_fragments_is_given_up() -> None:
    """Empty ones never reach the limit of a message's size: websockets 15 collects them for ever."""

    async def handler(server: ServerConnection) -> None:
        server.protocol.send_text(b"", fin=False)
        with suppress(ConnectionClosed):
            while True:
                for _ in range(1000):
                    server.protocol.send_continuation(b"", fin=False)
                server.send_data()
                await server.drain()
                await asyncio.sleep(0)

    async def client(connection: Connection) -> None:
        with pytest.raises(
            ConnectionClosedError, match=f"broke the WebSocket protocol .a message in more than {MAX_FRAGMENTS}"
        ):
            await connection.receive()
        assert len(connection._socket.recv_messages.frames.queue) <= 2 * MAX_FRAGMENTS

    converse(handler, client)


def test_fragments_of_a_message_are_put_together() -> None:
    async def handler(server: ServerConnection) -> None:
        for _ in range(3):
            await server.send(["a"] * MAX_FRAGMENTS)

    async def client(connection: Connection) -> None:
        for _ in range(3):
            assert await connection.receive() == "a" * MAX_FRAGMENTS

    converse(handler, client)


@pytest.mark.parametrize("said", [b"\x81\xff", b"\x81\x01\xff", b"\x81\x7f" + bytes(3) + b"\xff" * 5])
def test_a_breach_of_the_protocol_is_reported_as_such(said: bytes) -> None:
    """A masked frame, text that is no UTF-8, a message of terabytes: not the network's fault."""

    async def handler(server: ServerConnection) -> None:
        server.transport.write(said)
        await server.wait_closed()

    async def client(connection: Connection) -> None:
        with pytest.raises(ConnectionClosedError, match="the server broke the WebSocket protocol"):
            await connection.receive()

    converse(handler, client)


def test_given_up() -> None:
    """`abort` ends it at once; nothing that still arrives counts."""

    async def handler(server: ServerConnection) -> None:
        await server.send("late")
        await server.wait_closed()

    async def client(connection: Connection) -> None:
        async def hear() -> None:
            while True:
                await connection.receive()

        connection.abort()
        with pytest.raises(ConnectionClosedError):
            await hear()

    converse(handler, client)


def test_audio_does_not_vanish_into_a_connection_that_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    """The transport knows the cause of the loss before anybody else does."""

    async def client(connection: Connection) -> None:
        connection.abort()
        with pytest.raises(ConnectionClosedError):
            await connection.send(bytes(3200))

    converse(forever, client)
    assert "socket.send" not in caplog.text
