"""Inside: people who talk near the microphone. Plays what is on the second disk, and tells the host how far it is.

room.py DEVICE START [END]: samples START to END of it (raw, 16 kHz, mono) into an ALSA device, from the moment that
somebody listens. Each line to the host says which samples have sounded in one piece (the first, and the one after the
last), and when the last of them did by this machine's clock.
"""

import os
import sys
import time
from pathlib import Path

import alsaaudio

PORT = "/dev/virtio-ports/edged.room"
RECORDING = "/dev/vdb"
RATE = 16_000
BYTES = 2
PERIOD = RATE // 10
PERIODS = 20
"""2 s in advance: an emulated processor may be late."""
LISTENING = "/proc/asound/Loopback/pcm0c/sub0/status"


def main(device: str, start: int, end: int) -> None:
    """Play until the end, or until nothing can be played any more."""
    while "RUNNING" not in Path(LISTENING).read_text():
        time.sleep(0.02)
    pcm = alsaaudio.PCM(
        alsaaudio.PCM_PLAYBACK,
        device=device,
        rate=RATE,
        channels=1,
        format=alsaaudio.PCM_FORMAT_S16_LE,
        periodsize=PERIOD,
        periods=PERIODS,
    )
    room = pcm.info()["buffer_size"]
    written = begun = start
    with open(RECORDING, "rb") as recording, open(PORT, "wb", buffering=0) as port:
        recording.seek(start * BYTES)
        while begun < end:
            free = pcm.avail()
            if free < 0:  # late: what was played so far is a piece, and silence came after it
                pcm.drop()
                begun, free = written, room
            played = min(end, written - max(0, room - free))
            port.write(f"{begun} {played} {time.time():.3f}\n".encode())
            if played == end:
                return
            if free >= PERIOD:
                said = recording.read(max(0, min(PERIOD, end - written)) * BYTES)
                written += max(0, pcm.write(said or bytes(PERIOD * BYTES)))
            else:
                time.sleep(0.03)


if __name__ == "__main__":
    last = int(sys.argv[3]) if len(sys.argv) > 3 else os.stat(RECORDING).st_size or 1 << 40
    main(sys.argv[1], int(sys.argv[2]), last)
