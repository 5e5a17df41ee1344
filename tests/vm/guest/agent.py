"""Inside: takes commands as lines of JSON from the host, runs each, and answers with what became of it."""

import json
import subprocess
import threading
import time
from pathlib import Path
from typing import IO

PORT = Path("/dev/virtio-ports/edged.agent")


def main() -> None:
    """Serve commands for ever."""
    while not PORT.exists():
        time.sleep(0.05)
    lock = threading.Lock()
    with PORT.open("r+b", buffering=0) as port:
        _say(port, lock, {"up": True})
        while line := port.readline():
            threading.Thread(target=_do, args=(port, lock, json.loads(line)), daemon=True).start()


def _do(port: IO[bytes], lock: threading.Lock, order: dict[str, object]) -> None:
    command, text = order["command"], order["text"]
    assert isinstance(command, list)
    assert isinstance(text, str)
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
        status, output, error = done.returncode, done.stdout, done.stderr
    except OSError as reason:
        status, output, error = 127, b"", str(reason).encode()
    answer = {"id": order["id"], "status": status, "output": output.decode(errors="replace")}
    _say(port, lock, {**answer, "error": error.decode(errors="replace")})


def _say(port: IO[bytes], lock: threading.Lock, what: dict[str, object]) -> None:
    line = json.dumps(what).encode() + b"\n"
    with lock:
        while line:
            line = line[port.write(line) :]


if __name__ == "__main__":
    main()
