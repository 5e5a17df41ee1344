"""Whatever goes wrong at the recogniser in the middle of a word: no word is lost, none doubled, each time is right."""

from dataclasses import replace
from typing import Any

import pytest

from edged.recognizer.perturbations import Perturbations
from edged.recognizer.quirks import Quirks
from edged.testkit.faults import Fault, FaultKind
from edged.testkit.instrumented_server import InstrumentedServer
from edged.testkit.script import Script
from tests.end_to_end.stage import Run, Setting, Stage, speech, until

pytestmark = pytest.mark.slow

WORD = 7
"""A word in the middle of the second of three sentences of five words."""

NET_0000 = "Deepgram did not provide a response message within the timeout window. See https://dpgr.am/net0000"
NET_0001 = "Deepgram did not receive audio data or a text message within the timeout window."

UNKIND = {
    "jitter": Perturbations.all(),
    "exact": replace(Perturbations.all(jitter_ms=0), missing_end_ratio=0.0),
}
"""With uneven word times; and with right ones, so that ours can be held to 50 ms, ends too."""

LOST: dict[str, Fault] = {
    "reset": Fault(FaultKind.RESET),
    "close 1000": Fault(FaultKind.CLOSE, code=1000),
    "close 1001": Fault(FaultKind.CLOSE, code=1001, reason="going away"),
    "close 1008": Fault(FaultKind.CLOSE, code=1008, reason="DATA-0000"),
    "close 1011 net0000": Fault(FaultKind.CLOSE, code=1011, reason=NET_0000),
    "close 1011 net0001": Fault(FaultKind.CLOSE, code=1011, reason=f"{NET_0001} See https://dpgr.am/net0001"),
    "close 1011": Fault(FaultKind.CLOSE, code=1011),
    "close 1012": Fault(FaultKind.CLOSE, code=1012, reason="service restart"),
    "close 1013": Fault(FaultKind.CLOSE, code=1013, reason="try again later"),
    "close 4000": Fault(FaultKind.CLOSE, code=4000, reason="no reason that anybody knows"),
    "black hole": Fault(FaultKind.BLACK_HOLE),
    "stall": Fault(FaultKind.STALL, variant="forever"),
    "stall until close": Fault(FaultKind.STALL, variant="until_close"),
}
"""Faults that end the connection: at once, or when the daemon gives it up."""

QUICK: dict[str, Setting] = {"deepgram.stall_s": 3, "deepgram.open_timeout_s": 4}


@pytest.mark.parametrize("unkind", UNKIND)
@pytest.mark.parametrize("fault", LOST)
async def test_a_connection_lost_in_mid_word(stage: Stage, fault: str, unkind: str) -> None:
    """Audio without a result goes again over the next connection."""
    _, server = await play(stage, unkind, replace(LOST[fault], in_word=WORD))
    # What a stall holds back until the close comes in time if that is the recording's end.
    assert len(server.connection_logs) >= 2 or LOST[fault].variant == "until_close"


REFUSALS: dict[str, tuple[Fault, str]] = {
    "401": (Fault(FaultKind.REFUSE, status=401), "HTTP 401"),
    "402": (Fault(FaultKind.REFUSE, status=402, times=2), "no credit is left"),
    "429": (Fault(FaultKind.REFUSE, status=429, retry_after="2"), "HTTP 429"),
    "503": (Fault(FaultKind.REFUSE, status=503, times=3), "HTTP 503"),
    "503 not JSON": (Fault(FaultKind.REFUSE, status=503, body="<h1>Bad gateway</h1>"), "HTTP 503"),
    "portal": (Fault(FaultKind.PORTAL, variant="html"), "a captive portal"),
    "portal elsewhere": (Fault(FaultKind.PORTAL, variant="redirect"), "a captive portal"),
    "hang": (Fault(FaultKind.HANG), "no connection within 4 s"),
}
"""Faults of the next handshakes, and their names in the log."""


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_connection_lost_in_mid_word_and_then_refused(stage: Stage, refusal: str) -> None:
    """Capture goes on meanwhile, the log names the reason, and a server that takes us again gets everything."""
    fault, reason = REFUSALS[refusal]
    run, server = await play(stage, "exact", Fault(FaultKind.RESET, in_word=WORD), after=(fault,))
    assert len(server.connection_logs) == 2
    warnings = [line for line in run.log.splitlines() if "WARNING stream.client" in line]
    assert sum(reason in line for line in warnings) == 1, "each reason is a warning, once an outage"
    assert len(warnings) == 2, "the loss itself is the other"
    if fault.retry_after:
        waited_s = server.connection_logs[1].opened_at_s - server.refusals[0][0]
        assert waited_s >= float(fault.retry_after), "Retry-After is honoured"


@pytest.mark.parametrize("unkind", UNKIND)
async def test_lost_again_and_again(stage: Stage, unkind: str) -> None:
    """Breaks in the first, the third, and twice in the second sentence's middle word."""
    more = tuple(Fault(FaultKind.RESET, in_word=word) for word in (WORD, WORD, 12))
    _, server = await play(stage, unkind, Fault(FaultKind.RESET, in_word=2), after=more)
    assert len(server.connection_logs) >= 5


@pytest.mark.parametrize("seed", range(4))
async def test_lost_within_unbroken_speech(stage: Stage, seed: int) -> None:
    """Finals are forced in mid-word there: going on from a final's end would cut that word in two."""
    more = tuple(Fault(FaultKind.RESET, in_word=word) for word in (21, 32))
    reset = Fault(FaultKind.RESET, in_word=12)
    _, server = await play(stage, "exact", reset, after=more, script=speech(count=1, words_each=40), seed=seed)
    assert len(server.connection_logs) >= 4


@pytest.mark.parametrize("unkind", UNKIND)
async def test_a_final_that_arrives_torn_costs_a_connection_and_no_word(stage: Stage, unkind: str) -> None:
    """The one after it would answer its audio without its words."""
    run, _ = await play(stage, unkind, Fault(FaultKind.TEAR, in_word=WORD), connections=2)
    assert run.log.count("a result can't be read") == 1


@pytest.mark.parametrize("unkind", UNKIND)
async def test_nonsense_disturbs_nothing(stage: Stage, unkind: str) -> None:
    """The log notes each kind of nonsense once, and it costs neither the connection nor a word."""
    more = (Fault(FaultKind.GARBAGE, in_word=2), Fault(FaultKind.GARBAGE, in_word=12))
    run, _ = await play(stage, unkind, Fault(FaultKind.GARBAGE, in_word=WORD), after=more, connections=1)
    assert run.log.count("text that is not JSON") == 1
    assert run.log.count("a message of type 'Weather'") == 1


@pytest.mark.parametrize("unkind", UNKIND)
async def test_a_server_that_lags(stage: Stage, unkind: str) -> None:
    """The server reads at half of real time: results come late, and count all the same."""
    # Half of the recording's seconds are more than QUICK allows a server to be behind, or an answer to Finalize.
    settings: dict[str, Setting] = {**QUICK, "deepgram.stall_s": 15, "deepgram.finalize_timeout_s": 15}
    await play(stage, unkind, Fault(FaultKind.SLOW, rate=0.5, in_word=2), settings=settings)


COMPATIBLE = {
    "refuses Finalize": Quirks(finalize_close_code=4400),
    "metadata on open": Quirks(metadata_on_open=True),
    "windows from words": Quirks(windows_from_words=True),
    "no empty interims": Quirks(no_empty_interims=True),
    "confidence 0": Quirks(confidence=0.0),
    "restates words": Quirks(restated_words=2),
    "late punctuation": Quirks(late_punctuation=True),
    "times start again": Quirks(restart_times=True),
    "all": Quirks(
        finalize_close_code=4400, metadata_on_open=True, windows_from_words=True, no_empty_interims=True, confidence=0.0
    ),
}


@pytest.mark.parametrize("unkind", UNKIND)
@pytest.mark.parametrize("quirk", COMPATIBLE)
async def test_a_compatible_server_lost_in_mid_word(stage: Stage, quirk: str, unkind: str) -> None:
    """Servers that people run themselves differ in details; none of them costs a word."""
    _, server = await play(stage, unkind, Fault(FaultKind.RESET, in_word=WORD), quirks=COMPATIBLE[quirk])
    assert len(server.connection_logs) >= 2


async def test_finalize_is_not_sent_again_to_a_server_that_closes_because_of_it(stage: Stage) -> None:
    """`finalize = "auto"`: one connection is lost to it, not one for each sentence."""
    script = speech()
    server = await stage.recogniser(script, quirks=Quirks(finalize_close_code=4400))
    run = await stage.daemon(server.url, script)
    assert await run.ends() == 0
    run.check_words()
    assert sum(account.message_counts.get("Finalize", 0) for account in server.connection_logs) == 1
    assert [account.close_code for account in server.connection_logs] == [4400, 1000]


async def play(
    stage: Stage,
    unkind: str,
    fault: Fault,
    *,
    after: tuple[Fault, ...] = (),
    connections: int | None = None,
    script: Script | None = None,
    settings: dict[str, Setting] = QUICK,
    **options: Any,
) -> tuple[Run, InstrumentedServer]:
    """Three sentences with a fault, and those that are ordered `after` the first connection: all must strike."""
    script = script or speech()
    server = await stage.recogniser(script, perturbations=UNKIND[unkind], **options)
    server.inject(fault)
    run = await stage.daemon(server.url, script, settings)
    await until(lambda: server.connection_logs, "a connection")
    for late in after:
        server.inject(late)
    assert await run.ends(120) == 0
    assert not server.pending_faults, "a fault did not strike"
    assert connections in (None, len(server.connection_logs)), run.log
    run.check_words()
    run.check_records(server.connection_logs)
    if unkind == "exact":
        run.check_positions()
        run.check_times(ends=True)
        run.check_first(server.connection_logs)
    assert sum(account.message_counts.get("empty", 0) for account in server.connection_logs) == 0
    return run, server
