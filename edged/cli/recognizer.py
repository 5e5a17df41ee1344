"""`edged recognizer`: a local server of Deepgram's live protocol."""

import argparse
import asyncio
import contextlib
import logging
import signal
import ssl
from pathlib import Path
from typing import Any

from edged.model.cures import with_cure
from edged.model.errors import ExitStatus, UsageError
from edged.model.files import open_regular_file
from edged.recognizer.engine import EngineFactory
from edged.recognizer.perturbations import Perturbations
from edged.recognizer.pocketsphinx import PocketsphinxEngineFactory
from edged.recognizer.protocol import Limits
from edged.recognizer.quirks import Quirks
from edged.recognizer.server import Server

DESCRIPTION = """\
Serve Deepgram's live protocol on this machine, so that edged and other Deepgram
clients run without an account. It prints the URL to use:
  edged run --set deepgram.url=ws://127.0.0.1:8700/v1/listen

engines:
  pocketsphinx  real recognition (US English, 16000 Hz); needs the Python
                package pocketsphinx
  script        a recording with known words (--script): returns each word
                exactly when its audio has arrived
"""
EPILOG = """\
faults, for testing clients: --fault FAULT[:ARGUMENT...][@WHEN][*TIMES]
  refuse[:STATUS[:RETRY_AFTER]]  refuse the handshake with an HTTP status (503)
  portal[:html|redirect]         answer the handshake like a captive portal
  hang                           never answer the handshake
  reset                          reset the TCP connection
  close[:CODE[:REASON]]          close with this code (1011)
  black_hole                     accept everything and answer nothing, not even
                                 pings
  stall[:forever|until_close]    stop sending results; until_close: send them
                                 all after CloseStream
  garbage                        send invalid messages once
  tear                           send only half of the next final with words
  slow[:RATE]                    read at this many times real time (0.5)
  WHEN is one of
    12.5   seconds of audio received over all connections
    t10    seconds since the start; the only form for handshakes
    word7  half of the script's word 7 (counted from 0) has arrived
  Without WHEN the fault strikes at once. --fault can be repeated:
    --fault refuse:503*3 --fault reset@12.5
    --fault 'close:1011:going away@word7*2'

Only --api-key-file restricts who may connect: listen on other addresses in
trusted networks only.

exit status: 0 stopped by SIGTERM or Ctrl-C; 64 the command line is wrong

examples:
  edged recognizer
  edged recognizer --script speech.wav --fault reset@12.5
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to `edged`."""
    parser = subparsers.add_parser(
        "recognizer",
        help="serve Deepgram's live protocol on this machine",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--engine", choices=("pocketsphinx", "script"), help="default: script with --script, otherwise pocketsphinx"
    )
    parser.add_argument(
        "--script",
        metavar="FILE.wav",
        type=Path,
        help='recording (16-bit mono), with its words in FILE.json beside it: [{"word", "start", "end"}, ...], where '
        "whole numbers are samples, and others seconds",
    )
    parser.add_argument(
        "--listen", metavar="ADDRESS", default="127.0.0.1", help="address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=int, default=8700, help="port to listen on; 0 for any free one (default: %(default)s)"
    )
    parser.add_argument(
        "--api-key-file",
        metavar="FILE",
        type=Path,
        help="file with the key that clients must send (default: accept any)",
    )
    parser.add_argument("--cert", metavar="FILE", type=Path, help="certificate for TLS (PEM); needs --key")
    parser.add_argument("--key", metavar="FILE", type=Path, help="private key of the certificate (PEM)")
    parser.add_argument(
        "--max-rate",
        metavar="N",
        type=float,
        default=1.25,
        help="fastest processing, in times of real time (default: %(default)s, as Deepgram)",
    )
    parser.add_argument("--fault", action="append", default=[], metavar="FAULT", help="inject a fault (see below)")
    parser.add_argument(
        "--unkind",
        action="store_true",
        help="show the irregularities of real recognisers: finals that end in mid-word, word times off by up to 80 ms, "
        "late or ignored Finalize, changing punctuation",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of --unkind (default: %(default)s)")
    parser.add_argument(
        "--compatible",
        action="store_true",
        help="behave like other compatible servers: Finalize closes with 4400, Metadata on open, times from words, "
        "no empty interims, confidence 0, idle limit 30 s",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT. Raises an `EdgedError` for what the user must change."""
    server = _server(args)
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        logging.getLogger("websockets").setLevel(logging.WARNING)
    asyncio.run(_serve(server))
    return ExitStatus.OK


def _server(args: argparse.Namespace) -> Server:
    if not 0 <= args.port <= 65_535:
        raise UsageError(f"--port {args.port}: expected 0 to 65535")
    if not args.max_rate > 0:
        raise UsageError(f"--max-rate {args.max_rate}: expected more than 0")
    quirks = Quirks()
    limits = Limits(max_rate=args.max_rate)
    if args.compatible:
        limits = Limits(max_rate=args.max_rate, idle_s=30.0)
        quirks = Quirks(
            finalize_close_code=4400,
            metadata_on_open=True,
            windows_from_words=True,
            no_empty_interims=True,
            confidence=0.0,
        )
    options: dict[str, Any] = {
        "host": args.listen,
        "port": args.port,
        "tls": _tls(args.cert, args.key),
        "keys": None if args.api_key_file is None else {_key(args.api_key_file)},
        "limits": limits,
        "perturbations": Perturbations.all() if args.unkind else None,
        "quirks": quirks,
        "seed": args.seed,
    }
    if not args.fault:
        return Server(_engines(args), **options)
    from edged.testkit.faults import parse_fault
    from edged.testkit.instrumented_server import InstrumentedServer

    faults = [parse_fault(order) for order in args.fault]
    return InstrumentedServer(_engines(args), faults=faults, history=0, **options)


def _engines(args: argparse.Namespace) -> EngineFactory:
    if args.script is None:
        if args.engine == "script":
            raise UsageError("--engine script needs --script FILE.wav")
        return PocketsphinxEngineFactory()
    if args.engine == "pocketsphinx":
        raise UsageError("--script is for --engine script")
    from edged.testkit.script import Script, ScriptEngineFactory

    return ScriptEngineFactory(Script.load(args.script, args.script.with_suffix(".json")))


def _tls(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise UsageError("--cert and --key need each other")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"--cert {cert} --key {key}: {with_cure(error)}") from error
    return context


def _key(path: Path) -> str:
    try:
        with open_regular_file(path) as file:
            key = file.read().decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = with_cure(error) if isinstance(error, OSError) else "not a text file"
        raise UsageError(f"--api-key-file {path}: {why}") from error
    if not key or any(character.isspace() for character in key):
        raise UsageError(f"--api-key-file {path}: must hold a key: one word and nothing else")
    return key


async def _serve(server: Server) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(server)
        except OSError as error:
            text = f"can't listen on {server.host} port {server.port}: {with_cure(error)}"
            raise UsageError(text) from error
        print(server.url, flush=True)
        await stop.wait()
