"""A key that a server says back, in whatever writing."""

import json
from base64 import b64encode
from urllib.parse import unquote

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
        json.dumps({"error": json.dumps({"error": f"{KEY[:3]}"}).replace(KEY[:3], ESCAPED)}),
        json.dumps(json.dumps(json.dumps(f"x{KEY}").replace(KEY, ESCAPED))),
        f'{{"type":"Error","description":"{ESCAPED}',
        "".join(f"%{ord(c):02X}" for c in KEY),
        "".join(f"%25{ord(c):02x}" for c in KEY),
        f"https://user:{KEY[:5]}%{ord(KEY[5]):02x}{KEY[6:]}@host/",
        *(b64encode(before + KEY.encode() + b":after").decode() for before in (b"", b"t:", b"Token ", b"key:")),
    ],
)
def test_a_key_is_taken_out_however_it_is_written(text: str) -> None:
    redacted = redactor(KEY)(text)
    assert "<key>" in redacted
    assert KEY not in redacted.lower()
    assert KEY not in unquote(unquote(redacted)).lower()
    assert ESCAPED not in redacted


@pytest.mark.parametrize("key", ['a"b\\c/d', "a.b*c", "\\u0041"])
def test_any_character_may_be_in_a_key(key: str) -> None:
    redact = redactor(key)
    assert redact(f"no {key} yes") == "no <key> yes"
    assert json.loads(redact(json.dumps({"x": f"no {key} yes"}))) == {"x": "no <key> yes"}
    assert redact("a-b-c") == "a-b-c"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\\",
        '{"a":"\\n"}',
        '{"a":1e5,"b":"\\u00e4"}',
        "{" * 50_000 + "\\",
        "\\" * 200_000,
        "%25" * 50_000,
        '{"a":"\\u00',
    ],
)
def test_what_has_no_key_comes_back_as_it_is(text: str) -> None:
    assert redactor(KEY)(text) == text
