"""`edged recognizer`: a recogniser of one's own, speaking Deepgram's live protocol."""

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
Serve Deepgram's live protocol on this machine, so that edged, and any other Deepgram client, runs without an account.
Point edged at it with the line that it prints:  edged run --set deepgram.url=ws://127.0.0.1:8700/v1/listen

engines:
  pocketsphinx  real recognition (US English, 16000 Hz); needs the Python package pocketsphinx
  script        a recording with known words (--script): each word is answered when exactly its audio has arrived
"""
EPILOG = """\
faults, for trying out what a client makes of them:  --fault VERB[:ARGUMENT...][@WHEN][*TIMES], any number
  refuse[:STATUS[:RETRY_AFTER]]  answer the handshake with this HTTP status (503)
  portal[:html|redirect]         answer the handshake like a captive portal
  hang                           never answer the handshake
  reset                          break the TCP connection
  close[:CODE[:REASON]]          close with this code (1011)
  black_hole                     take everything, answer nothing any more, not even pings
  stall[:forever|until_close]    give no results any more; until_close: they all come after CloseStream
  garbage                        say senseless things once
  tear                           send only half of the next final that has words
  slow[:RATE]                    read at this many times real time (0.5)
  WHEN: 12.5 - seconds of audio received over all connections; t10 - seconds since the start;
        word7 - half of the script's word 7 (from 0) has come. Handshakes: t10 only. Without it: at once.
  e.g.  --fault refuse:503*3  --fault reset@12.5  --fault 'close:1011:going away@word7*2'

It has no limit on who may connect but --api-key-file: listen on other addresses in networks you trust only.
Exit status: 0 stopped by SIGTERM or Ctrl-C, 64 the command line can't be followed.
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to `edged`."""
    parser = subparsers.add_parser(
        "recognizer",
        help="a local recogniser that speaks Deepgram's live protocol",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--engine", choices=("pocketsphinx", "script"), help="default: script with --script, else pocketsphinx"
    )
    parser.add_argument(
        "--script",
        metavar="FILE.wav",
        type=Path,
        help='the recording (16-bit mono); its words are in FILE.json beside it, [{"word", "start", "end"}, ...],'
        " whole numbers are samples, others seconds",
    )
    parser.add_argument("--listen", metavar="ADDRESS", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=8700, help="0 takes a free one; default: %(default)s")
    parser.add_argument(
        "--api-key-file", metavar="FILE", type=Path, help="holds the key that clients must have; default: any will do"
    )
    parser.add_argument("--cert", metavar="FILE", type=Path, help="serve TLS with this certificate (PEM); needs --key")
    parser.add_argument("--key", metavar="FILE", type=Path, help="its private key (PEM)")
    parser.add_argument(
        "--max-rate",
        metavar="N",
        type=float,
        default=1.25,
        help="audio is processed at so many times real time at most; default: %(default)s, like Deepgram",
    )
    parser.add_argument("--fault", action="append", default=[], metavar="ORDER", help="see below")
    parser.add_argument(
        "--unkind",
        action="store_true",
        help="behave as a recogniser may: finals that end in mid-word, uneven word times (80 ms), Finalize late or not"
        " answered, other punctuation each time",
    )
    parser.add_argument("--seed", type=int, default=0, help="draws the unkindness; default: %(default)s")
    parser.add_argument(
        "--compatible",
        action="store_true",
        help="behave as other compatible servers do: Finalize closes with 4400, Metadata on open, times from words,"
        " no empty interims, confidence 0, 30 s idle limit",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; raises an `EdgedError` for what the user has to change."""
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
        raise UsageError("--cert and --key belong together")
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
        raise UsageError(f"--api-key-file {path}: holds no key (one word, nothing else)")
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
