"""A key that a server says back, in whatever writing."""

import json

import pytest

from edged.stream.redaction import redactor

KEY = "c0ffee0123456789abcdef"

ESCAPED = "".join(f"\\u{ord(c):04x}" for c in KEY)


@pytest.mark.parametrize(
    "text",
    [
        f"Token {KEY} is wrong",
        f"Token {KEY.upper()} is wrong",
        f'{{"type":"Error","description":"{KEY}"}}',
        f'{{"type":"Error","description":"{ESCAPED}"}}',
        f'{{"type":"Error","description":"{ESCAPED.upper().replace("U", "u")}"}}',
        f'{{"type":"Error","description":"{KEY[:9]}{ESCAPED[54:]}","x":NaN}}',
        f'\ufeff{{"{ESCAPED}":[{{"deep":"\\ud800{ESCAPED}"}}]}}',
        f'"{ESCAPED}"',
    ],
)
def test_a_key_is_taken_out_however_it_is_written(text: str) -> None:
    redacted = redactor(KEY)(text)
    assert "<key>" in redacted
    assert KEY not in redacted.lower()
    assert ESCAPED not in redacted


@pytest.mark.parametrize("key", ['a"b\\c/d', "a.b*c", "\\u0041"])
def test_any_character_may_be_in_a_key(key: str) -> None:
    redact = redactor(key)
    assert redact(f"no {key} yes") == "no <key> yes"
    assert json.loads(redact(json.dumps({"x": f"no {key} yes"}))) == {"x": "no <key> yes"}
    assert redact("a-b-c") == "a-b-c"


@pytest.mark.parametrize(
    "text", ["", "\\", '{"a":"\\n"}', '{"a":1e5,"b":"\\u00e4"}', "{" * 50_000 + "\\", '{"a":"\\u00']
)
def test_what_has_no_key_comes_back_as_it_is(text: str) -> None:
    assert redactor(KEY)(text) == text
