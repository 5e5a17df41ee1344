"""The API key reaches the server and nothing else; every Run checks its log for it, and for what was said."""

import signal
from pathlib import Path

import pytest

from edged.testkit.faults import Fault, FaultKind
from tests.end_to_end.stage import KEY, Run, Setting, Stage, speech

pytestmark = pytest.mark.slow

SCRIPT = speech(count=1)


def given(way: str, directory: Path, key: str) -> tuple[dict[str, Setting], dict[str, str], str]:
    """Settings and environment that give a key in this way, and its origin for people."""
    file = directory / "deepgram-api-key"
    if way == "environment":
        return {}, {"DEEPGRAM_API_KEY": key}, "environment variable DEEPGRAM_API_KEY"
    file.write_text(f"{key}\n")
    file.chmod(0o600)
    if way == "file":
        return {"deepgram.api_key_file": str(file)}, {}, f"file {file}"
    return {}, {"CREDENTIALS_DIRECTORY": str(directory)}, "systemd credential deepgram-api-key"


WAYS = ["credential", "file", "environment"]


def check_kept(run: Run) -> None:
    """Nothing that the run left behind holds the key: the spool's files neither."""
    files = [path for path in run.directory.rglob("*") if path.is_file()]
    assert run.directory / "spool" / "spool.db" in files
    for file in files:
        assert KEY.encode() not in file.read_bytes(), f"the key is in {file.name}"


@pytest.mark.parametrize("way", WAYS)
async def test_the_key_opens_the_connection_and_shows_nowhere(stage: Stage, way: str) -> None:
    """The log is at debug level, over a lost connection and a refusal."""
    server = await stage.recogniser(SCRIPT, keys={KEY}, faults=[Fault(FaultKind.REFUSE, status=503)])
    server.inject(Fault(FaultKind.RESET, in_word=2))
    settings, environment, _ = given(way, stage.directory, KEY)
    run = await stage.daemon(server.url, SCRIPT, settings, environment)
    assert await run.ends() == 0
    run.check_words()
    assert len(server.connection_logs) == 2
    check_kept(run)


@pytest.mark.parametrize("way", WAYS)
async def test_a_wrong_key_is_named_by_its_origin(stage: Stage, way: str) -> None:
    """Users learn which of three places to look at, and capture goes on."""
    server = await stage.recogniser(SCRIPT, keys={"another"})
    settings, environment, origin = given(way, stage.directory, KEY)
    run = await stage.daemon(server.url, SCRIPT, settings, environment)
    await run.says("HTTP 401")
    (line,) = [line for line in run.log.splitlines() if "WARNING" in line and "HTTP 401" in line]
    assert origin in line
    run.signal(signal.SIGTERM)
    run.signal(signal.SIGTERM)
    assert await run.ends() in (0, 75)
    check_kept(run)


async def test_a_key_that_is_missing(stage: Stage) -> None:
    """A server of one's own may ask for one all the same: then none is what is wrong."""
    server = await stage.recogniser(SCRIPT, keys={"another"})
    run = await stage.daemon(server.url, SCRIPT)
    await run.says("HTTP 401: no key was given")
    run.signal(signal.SIGTERM)
    run.signal(signal.SIGTERM)
    assert await run.ends() in (0, 75)


async def test_a_server_that_says_the_key_aloud(stage: Stage) -> None:
    """The log contains the server's refusal and closing reason, but never the key in them."""
    body = '{"err_code":"INVALID_AUTH","err_msg":"No such key: ' + KEY + '"}'
    server = await stage.recogniser(SCRIPT, faults=[Fault(FaultKind.REFUSE, status=503, body=body)])
    server.inject(Fault(FaultKind.CLOSE, code=1011, reason=f"revoked: {KEY}", in_word=2))
    settings, environment, _ = given("file", stage.directory, KEY)
    run = await stage.daemon(server.url, SCRIPT, settings, environment)
    assert await run.ends() == 0
    assert "No such key: " in run.log or "HTTP 503" in run.log
    assert "revoked: " in run.log
    run.check_words()
    check_kept(run)
