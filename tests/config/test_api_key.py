"""The API key: where edged looks for it, what a valid key is, and that only `reveal()` ever shows it."""

import traceback
from pathlib import Path

import msgspec
import pytest

from edged.config.api_key import CREDENTIAL, MAX_KEY_BYTES, ApiKey, read_key
from edged.config.settings import DeepgramSettings, Settings
from edged.model.errors import ConfigurationError

SECRET = "0123456789abcdef0123456789abcdef01234567"


def with_file(file: Path | str | None) -> Settings:
    return Settings(deepgram=DeepgramSettings(api_key_file=None if file is None else str(file)))


def test_the_credential_comes_first_then_the_file_then_the_environment(tmp_path: Path) -> None:
    credential, file = tmp_path / CREDENTIAL, tmp_path / "key"
    credential.write_text("first")
    file.write_text("second")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "DEEPGRAM_API_KEY": "third"}

    def found(file: Path | None, environ: dict[str, str]) -> tuple[str, str]:
        key = read_key(with_file(file), environ)
        assert key is not None
        return key.reveal(), key.origin

    assert found(file, environ) == ("first", "systemd credential deepgram-api-key")
    credential.unlink()
    assert found(file, environ) == ("second", f"file {file}")
    assert found(None, environ) == ("third", "environment variable DEEPGRAM_API_KEY")


def test_an_absent_key_is_no_error() -> None:
    """The service starts without a key: it captures and says what to do."""
    assert read_key(Settings(), {}) is None
    assert read_key(Settings(), {"CREDENTIALS_DIRECTORY": "/nonexistent"}) is None


def test_a_credential_that_says_none_is_no_key(tmp_path: Path) -> None:
    """systemd has no empty credential: the unit's fallback is this word."""
    (tmp_path / CREDENTIAL).write_text("none\n")
    assert read_key(Settings(), {"CREDENTIALS_DIRECTORY": str(tmp_path)}) is None


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\n\n"])
def test_the_newline_that_editors_put_behind_it_is_not_part_of_it(ending: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(SECRET + ending)
    key = read_key(with_file(file), {})
    assert key is not None
    assert key.reveal() == SECRET


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"%s\n%s" % (SECRET.encode(), SECRET.encode()), "has more than one line"),
        (b"%s\r%s\n" % (SECRET.encode(), SECRET.encode()), "has more than one line"),
        (b" " + SECRET.encode(), "has a space"),
        (b"Token " + SECRET.encode(), "has a space"),
        (SECRET.encode() + b"\0", "has a space, a control character"),
        (SECRET.encode() + b"\xc3\xa9", "beyond ASCII"),
        (b"\xef\xbb\xbf" + SECRET.encode(), "beyond ASCII"),
        (b"\xff\xfe", "beyond ASCII"),
        (b"DEEPGRAM_API_KEY=" + SECRET.encode(), "begins with DEEPGRAM_API_KEY="),
        (SECRET.encode() * 1000, "is too long to be one"),
    ],
)
def test_an_invalid_key_is_rejected_by_its_origin_and_never_shown(content: bytes, why: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as raised:
        read_key(with_file(file), {})
    assert str(raised.value).startswith(f"the key from file {file} ")
    assert why in str(raised.value)
    assert SECRET[:8] not in "".join(traceback.format_exception(raised.value))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", f"{SECRET}\nX-Header: 1", f"{SECRET} "])
def test_a_key_in_the_environment_is_checked_too(text: str) -> None:
    with pytest.raises(ConfigurationError, match="environment variable DEEPGRAM_API_KEY"):
        read_key(Settings(), {"DEEPGRAM_API_KEY": text})


def test_the_longest_permitted_key_is_accepted() -> None:
    key = read_key(Settings(), {"DEEPGRAM_API_KEY": "e" * MAX_KEY_BYTES})
    assert key is not None


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    for file, why in [
        (tmp_path / "absent", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (Path("/a\0b"), "not a file name"),
    ]:
        with pytest.raises(ConfigurationError, match=why) as raised:
            read_key(with_file(file), {})
        assert str(file) in str(raised.value)


def test_a_key_written_in_place_of_its_files_name_is_not_shown() -> None:
    with pytest.raises(ConfigurationError) as raised:
        read_key(with_file(SECRET), {})
    assert SECRET not in "".join(traceback.format_exception(raised.value))
    assert "must name the file that holds the key" in str(raised.value)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)])
def test_a_file_that_every_user_can_read_gets_a_warning(mode: int, warned: bool, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(SECRET)
    file.chmod(mode)
    key = read_key(with_file(file), {})
    assert key is not None
    assert (key.warning is not None) == warned
    assert SECRET not in (key.warning or "")


def test_only_reveal_shows_the_key() -> None:
    key = ApiKey(SECRET, "file /etc/edged/key")
    for shown in (repr(key), str(key), f"{key}", f"{key!s:>50}", f"{key:}", repr([key]), repr({"key": key})):
        assert SECRET not in shown
        assert "file /etc/edged/key" in shown
    with pytest.raises(TypeError):
        msgspec.json.encode(key)
    assert not hasattr(key, "__dict__")
    assert key.reveal() == SECRET
