"""Words sent as mu-law: each arrives, once, at its position and time, over breaks as well."""

import asyncio
from pathlib import Path

import pytest

from edged.recognizer.decoding import DECODERS
from edged.stream.encoding import encoder
from edged.testkit.compose import compose, sentences
from edged.testkit.faults import Fault, FaultKind
from edged.testkit.script import Script
from tests.end_to_end.stage import Stage


@pytest.mark.slow
def test_positions_times_and_replay_are_exact_in_mulaw(tmp_path: Path) -> None:
    """The recording went through mu-law before, so that the recogniser can compare each bit of a word."""
    plain = compose(sentences(3, 4), lead_s=2.0, silence_s=2.0, seed=9)
    script = Script(DECODERS["mulaw"](encoder("mulaw")(plain.pcm)), plain.words, plain.rate)

    async def main() -> None:
        async with Stage(tmp_path) as stage:
            server = await stage.recogniser(script, faults=[Fault(FaultKind.RESET, in_word=6)])
            run = await stage.daemon(server.url, script, {"deepgram.encoding": "mulaw"})
            assert await run.ends() == 0
            run.check_words()
            run.check_positions()
            run.check_times()
            run.check_records(server.connection_logs)
            assert len(server.connection_logs) == 2
            assert all(account.query["encoding"] == ["mulaw"] for account in server.connection_logs)

    asyncio.run(main())
