"""The least that Python can do with a microphone: read, ask webrtcvad, and with a URL send every block.

    python floor.py DEVICE RATE PERIOD_MS [URL]

A program of its own, so that it imports nothing but what it needs.
"""

import sys
from collections.abc import Callable

import alsaaudio
import webrtcvad

FRAME_MS = 20


def main(device: str, rate: int, period_ms: int, url: str = "") -> None:
    """Run until the process is killed."""
    pcm = alsaaudio.PCM(
        alsaaudio.PCM_CAPTURE,
        device=device,
        rate=rate,
        channels=1,
        format=alsaaudio.PCM_FORMAT_S16_LE,
        periodsize=rate * period_ms // 1000,
        periods=10,
    )
    is_speech = webrtcvad.Vad(2).is_speech
    frame_bytes = rate * FRAME_MS // 1000 * 2
    send = sender(url) if url else None
    while True:
        _, block = pcm.read()
        for at in range(0, len(block) - frame_bytes + 1, frame_bytes):
            is_speech(block[at : at + frame_bytes], rate)
        if send and block:  # an overrun gives none, and an empty message would end the stream
            send(block)


def sender(url: str) -> Callable[[bytes], None]:
    """`send` of a connection; what the server says is read and dropped."""
    from threading import Thread

    from websockets.sync.client import connect

    connection = connect(url, compression=None)
    Thread(target=lambda: [None for _ in connection], daemon=True).start()
    return connection.send


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
