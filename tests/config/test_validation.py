"""Contradictions between settings are rejected; unwise settings get a warning."""

from pathlib import Path

import pytest

from edged.config.loader import load, read
from edged.config.settings import Settings
from edged.config.validation import find_cautions, find_contradictions

SECRET = "0123456789abcdef0123456789abcdef01234567"


def found(*overrides: str) -> list[str]:
    """Contradictions between the defaults and these."""
    return read(Path("/dev/null"), overrides).problems


def test_the_defaults_have_no_contradictions_and_no_cautions() -> None:
    assert find_contradictions(Settings()) == []
    assert find_cautions(Settings()) == []


REFUSED = {
    "capture.channel=1": "channel = 1 does not exist with channels = 1: channels are numbered from 0, so "
    "channel may be at most 0",
    "capture.channels=2 capture.channel=2": "channel may be at most 1",
    "capture.source=wav": "needs path",
    "capture.buffer_ms=199": "buffer_ms = 199 is too short for period_ms = 100: "
    "ALSA fills one period while another is read, so at least 200",
    "deepgram.model=nova-2 deepgram.keyterms=['x']": "does not take keyterms: use keywords, or nova-3",
    "deepgram.model=nova-2-meeting deepgram.keyterms=['x']": "does not take keyterms",
    "deepgram.model=nova deepgram.keyterms=['x']": "does not take keyterms",
    "deepgram.model=nova-general deepgram.keyterms=['x']": "does not take keyterms",
    "deepgram.model=Enhanced deepgram.keyterms=['x']": "does not take keyterms",
    "deepgram.model=base-phonecall deepgram.keyterms=['x']": "does not take keyterms",
    "deepgram.model=whisper-large deepgram.keyterms=['x']": "does not take keyterms",
    "deepgram.keywords=['x:2']": 'model = "nova-3" does not take keywords: use keyterms',
    "deepgram.model=nova-3-medical deepgram.keywords=['x:2']": "does not take keywords",
    "deepgram.model=flux-general-en": "needs the protocol of /v2/listen",
    "deepgram.url=wss://api.deepgram.com/v2/listen": "is the Flux protocol",
    "deepgram.interim_results=false deepgram.utterance_end_ms=2000": "utterance_end_ms = 2000 needs interim_results",
    "deepgram.prime_s=5 deepgram.prime_max_s=4": "prime_s = 5 is more than prime_max_s = 4",
    "reconnect.initial_s=31": "initial_s = 31 is more than max_s = 30",
    "deepgram.stall_s=30": "stall_s = 30 must be less than inflight_s = 30",
    "deepgram.inflight_s=200": "inflight_s = 200 is more than [replay] max_s = 120",
    "transcripts.sinks=['file','journal','file']": 'sinks = ["file", "journal", "file"] names file twice',
    "spool.directory=/run/edged": 'are both "/run/edged"',
    "spool.directory=~/edged": "directory begins with ~, which only a shell expands",
    'capture.device="plughw:a\\u0000"': "device contains a NUL",
    "capture.source=wav capture.path=~/a.wav": "path begins with ~",
    "deepgram.ca_file=~/ca.pem": "ca_file begins with ~",
    "deepgram.api_key_file=~/key": "api_key_file begins with ~",
    "deepgram.options.model=nova-2": "[deepgram.options] model: use deepgram.model",
    "deepgram.options.Encoding=opus": "[deepgram.options] Encoding: use deepgram.encoding",
    "deepgram.options.sample_rate=8000": "use capture.rate",
    "deepgram.options.channels=2": "edged sends the one channel",
    "deepgram.options.endpointing=10": "use deepgram.endpointing_ms",
    "deepgram.options.callback=https://example.com": "results would go there instead",
    **{
        f"deepgram.options.{name}={SECRET}": f"[deepgram.options] {name}: a key never goes into the settings"
        for name in ("token", "key", "apikey", "api-key", "API_KEY", "secret", "password")
    },
}


@pytest.mark.parametrize(("overrides", "text"), REFUSED.items())
def test_a_contradiction_is_one_line(overrides: str, text: str) -> None:
    [problem] = found(*overrides.split())
    assert text in problem
    assert SECRET not in problem


NEIGHBOURS = [
    "capture.channels=2 capture.channel=1",
    "capture.buffer_ms=200",
    "deepgram.keyterms=['x']",
    "deepgram.model=nova-2 deepgram.keywords=['x:2']",
    "deepgram.model=our-own-model deepgram.keyterms=['x']",
    "deepgram.model=nova-4 deepgram.keyterms=['x']",
    "deepgram.interim_results=false",
    "deepgram.prime_s=5 deepgram.prime_max_s=5",
    "deepgram.prime_s=0",
    "reconnect.initial_s=30",
    "deepgram.stall_s=29.9",
    "deepgram.inflight_s=120",
    "transcripts.file.path=~/unused",
    "deepgram.options.punctuate=true deepgram.options.tag=model",
    "deepgram.url=wss://api.eu.deepgram.com/v1/listen",
    "deepgram.url=WSS://api.deepgram.com:443/v1/listen",
    "deepgram.url=wss://asr.example:8443/deepgram/v1/listen?tenant=7",
    "deepgram.url=ws://localhost:8700/v1/listen",
    "deepgram.url=ws://127.1.2.3/v1/listen",
    "deepgram.url=ws://[::1]:8700/v1/listen",
    "deepgram.url=ws://192.168.1.7/v1/listen deepgram.allow_plaintext=true",
]


@pytest.mark.parametrize("overrides", NEIGHBOURS)
def test_settings_that_work_are_accepted(overrides: str) -> None:
    assert found(*overrides.split()) == []


URLS = {
    "api.deepgram.com/v1/listen": 'has no scheme: did you mean "wss://api.deepgram.com/v1/listen"?',
    "localhost:8700/v1/listen": 'has no scheme: did you mean "ws://localhost:8700/v1/listen"?',
    "https://api.deepgram.com/v1/listen": 'must begin with wss:// (or ws://): did you mean "wss://api.deepgram.com/v1/listen"?',
    "http://127.0.0.1:8700/": 'must begin with wss:// (or ws://): did you mean "ws://127.0.0.1:8700/v1/listen"?',
    "wss//api.deepgram.com": 'has no scheme: did you mean "wss://api.deepgram.com/v1/listen"?',
    "wss:api.deepgram.com": 'has no scheme: did you mean "wss://api.deepgram.com/v1/listen"?',
    "https:/api.deepgram.com": 'has no scheme: did you mean "wss://api.deepgram.com/v1/listen"?',
    "wss.example:8443": 'has no scheme: did you mean "wss://wss.example:8443/v1/listen"?',
    "//api.deepgram.com/v1/listen": 'has no scheme: did you mean "wss://api.deepgram.com/v1/listen"?',
    "ftp://api.deepgram.com/v1/listen": "must begin with wss:// (or ws://)",
    "wss://": "names no host",
    "wss:///v1/listen": "names no host",
    "wss://api.deepgram.com:0/v1/listen": "names no host to connect to",
    "wss://api.deepgram.com:99999/v1/listen": "its host or port can't be read",
    "wss://api.deepgram.com:port/v1/listen": "its host or port can't be read",
    "wss://[::1/v1/listen": "its host or port can't be read",
    "wss://api..deepgram.com/v1/listen": "names an impossible host",
    f"wss://{'a' * 64}.example/v1/listen": "names an impossible host",
    "wss://api.deepgram.com/v1/lis ten": "contains a space",
    "wss://api.deepgram.com/v1/listen\n": "contains a space or a control character",
    "wss://api.deepgram.com/v1/listen#x": "contains a fragment",
    f"wss://user:{SECRET}@api.deepgram.com/v1/listen": "contains a user or password",
    f"wss://{SECRET}@api.deepgram.com/v1/listen": "contains a user or password",
    "wss://api.deepgram.com/v1/listen?model=nova-2": "sets model in its query: use deepgram.model",
    "wss://api.deepgram.com/v1/listen?keyterm=": "sets keyterm in its query: use deepgram.keyterms",
    f"wss://api.deepgram.com/v1/listen?token={SECRET}": "sets token in its query: a key never goes into the settings",
    f"wss://api.deepgram.com/v1/listen?a=1&key={SECRET}": "sets key in its query: a key never goes into the settings",
    "ws://api.deepgram.com/v1/listen": "sends the key and the speech to another machine without encryption: "
    "use wss://, or set allow_plaintext = true",
    "ws://localhost.example/v1/listen": "to another machine without encryption",
    "ws://127.0.0.1.example/v1/listen": "to another machine without encryption",
    "ws://128.0.0.1/v1/listen": "to another machine without encryption",
}


@pytest.mark.parametrize(("url", "text"), URLS.items(), ids=range(len(URLS)))
def test_a_url_that_cannot_work_gets_a_suggestion(url: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "edged.toml"
    file.write_text("[deepgram]\nurl = " + '"' + url.replace("\n", "\\n") + '"')
    problems = read(file).problems
    assert text in problems[0]
    assert len(problems) == 1
    assert SECRET not in problems[0]
    assert "\n" not in problems[0]


def test_several_contradictions_are_found_together() -> None:
    assert len(found("capture.channel=3", "deepgram.url=http://192.168.1.1", "deepgram.stall_s=40")) == 3


CAUTIOUS = {
    "capture.path=/a.wav": '[capture] path is not used: source is "alsa"',
    "transcripts.sinks=[]": "sinks is empty",
    "deepgram.url=ws://10.0.0.1/ deepgram.allow_plaintext=true": "anyone on the way can read",
    "deepgram.url=ws://127.0.0.1/ deepgram.ca_file=/ca.pem": "ca_file is not used",
    "deepgram.finalize=off deepgram.endpointing_ms=500": "endpointing_ms = 500 is longer than the 400 ms of silence",
    "spool.directory=spool": 'directory = "spool" depends on the directory that edged is started in',
}


@pytest.mark.parametrize(("overrides", "text"), CAUTIOUS.items())
def test_an_unwise_setting_is_a_caution(overrides: str, text: str) -> None:
    [warning] = load(Path("/dev/null"), overrides.split()).warnings
    assert text in warning
