"""URLs: which machine they lead to, what is safe to show, and which names are those of secrets."""

import pytest

from edged.model.urls import is_host, is_local_host, may_be_secret, may_hold_secret, without_secrets


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("ws://localhost", True),
        ("ws://LOCALHOST:1/x", True),
        ("ws://127.255.0.1:8700/v1/listen", True),
        ("wss://[::1]/", True),
        ("wss://api.deepgram.com", False),
        ("ws://0.0.0.0", False),
        ("ws://user@evil.example#127.0.0.1", False),
        ("ws://127.0.0.1@evil.example/", False),
        ("ws://[bad", False),
        ("", False),
    ],
)
def test_which_urls_lead_to_this_machine(url: str, here: bool) -> None:
    assert is_local_host(url) == here


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("wss://a.b/c", "wss://a.b/c"),
        ("wss://u:p@a.b/c?t=s#f", "wss://...@a.b/c?..."),
        ("u:p@a.b/c", "...@a.b/c"),
        ("wss://u:p@q@a.b/c@d", "wss://...@a.b/c@d"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


@pytest.mark.parametrize(
    "name", ["api.deepgram.com", "api.deepgram.com.", "localhost", "m\u00fcller.example", "::1", "10.0.0.1", "a" * 63]
)
def test_a_valid_host_name(name: str) -> None:
    assert is_host(name)


@pytest.mark.parametrize(
    "name", ["", "api..deepgram.com", ".deepgram.com", "a" * 64, "\u00fc" * 60, "a\u202eb.example"]
)
def test_an_impossible_host_name(name: str) -> None:
    assert not is_host(name)


SECRET = """
key KEY api_key apikey api-key ApiKey x-api-key deepgram_apikey access_key accessKey subscriptionKey key_id api_key_id
token TOKEN access_token accessToken auth_token id-token secret client_secret password passwd passphrase pwd pass auth
authorization Authorisation credentials bearer jwt
"""
HARMLESS = """
keyterm keyterms key_terms keywords keepalive_s tag max_tokens tokens tokenizer author bypass passive version replace
redact search punctuate multichannel mip_opt_out vad_events monkey_business
"""


@pytest.mark.parametrize("name", SECRET.split())
def test_the_name_of_a_secret(name: str) -> None:
    assert may_be_secret(name)


@pytest.mark.parametrize("name", HARMLESS.split())
def test_a_name_that_is_not_that_of_a_secret(name: str) -> None:
    """Deepgram's own parameters above all."""
    assert not may_be_secret(name)


@pytest.mark.parametrize("value", ["0123456789abcdef0123456789abcdef01234567", "Token " + "aB3_-" * 8])
def test_a_value_that_looks_like_a_key(value: str) -> None:
    assert may_hold_secret(value)


@pytest.mark.parametrize(
    "value", ["linear16", "1" * 40, "a" * 40, "/var/lib/edged-2/transcripts.jsonl", "plughw:CARD=Device,DEV=0"]
)
def test_a_value_that_does_not_look_like_a_key(value: str) -> None:
    assert not may_hold_secret(value)
