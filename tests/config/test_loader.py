"""The loader reports all errors at once, each in one helpful line that contains nothing secret."""

import os
from pathlib import Path

import pytest

from edged.config import loader
from edged.config.loader import load, read
from edged.config.settings import PRESETS, Settings
from edged.model.errors import ConfigurationError, UsageError

SECRET = "0123456789abcdef0123456789abcdef01234567"


def problems(text: str | bytes, tmp_path: Path, *overrides: str) -> list[str]:
    """Return the problems of a file with this text, without the file's name."""
    file = tmp_path / "edged.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    try:
        found = read(file, overrides).problems
    except ConfigurationError as error:
        found = list(error.problems)
    assert all("\n" not in problem for problem in found)
    assert SECRET not in "".join(found)
    return [problem.removeprefix(str(file)).lstrip(":, ") for problem in found]


def test_without_a_file_in_the_default_place_the_defaults_apply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "DEFAULT_PATH", tmp_path / "absent.toml")
    loaded = load()
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.warnings == []


def test_a_file_in_the_default_place_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "edged.toml"
    file.write_text("[capture]\nrate = 8000\n")
    monkeypatch.setattr(loader, "DEFAULT_PATH", file)
    assert load().settings.capture.rate == 8000


def test_the_command_line_overrides_the_file_and_the_file_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "kiosk.toml"
    file.write_text("[capture]\nrate = 8000\nchannels = 2\n[transcripts.file]\npath = '/a'\n")
    loaded = load(file, ["capture.rate=48000", "transcripts.file.fsync=never"])
    assert (loaded.settings.capture.rate, loaded.settings.capture.channels) == (48000, 2)
    assert (loaded.settings.transcripts.file.path, loaded.settings.transcripts.file.fsync) == ("/a", "never")
    origins = [loaded.origins[f"capture.{key}"] for key in ("rate", "channels", "channel")]
    assert origins == ["--set", "file kiosk.toml", "default"]


def test_an_instance_has_its_own_directories_named_after_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that its service and `edged spool` mean the same ones. What the file says counts more; elsewhere a name tells
    nothing."""
    monkeypatch.setattr(loader, "DEFAULT_PATH", tmp_path / "edged.toml")
    (tmp_path / "kitchen.toml").write_text("[spool]\ndirectory = '/srv/spool'\n")
    loaded = load(tmp_path / "kitchen.toml")
    assert loaded.settings.spool.directory == "/srv/spool"
    assert loaded.settings.spool.runtime_directory == "/run/edged-kitchen"
    assert loaded.settings.transcripts.file.path == "/var/log/edged-kitchen/transcripts.jsonl"
    assert loaded.origins["spool.runtime_directory"] == "name kitchen.toml"
    monkeypatch.chdir(tmp_path)
    assert load(Path("kitchen.toml")).settings == loaded.settings
    (tmp_path / "edged.toml").write_text("")
    assert load(tmp_path / "edged.toml").settings == load().settings == Settings()
    monkeypatch.setattr(loader, "DEFAULT_PATH", tmp_path / "elsewhere" / "edged.toml")
    assert load(tmp_path / "kitchen.toml").settings.spool.runtime_directory == Settings().spool.runtime_directory


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("capture.device=plughw:CARD=Device", "capture", "device", "plughw:CARD=Device"),
        ('capture.device="plughw:CARD=Device"', "capture", "device", "plughw:CARD=Device"),
        ("capture.path=2026-11-20", "capture", "path", "2026-11-20"),
        ("capture.path=7", "capture", "path", "7"),
        ("capture.path=a b # c.wav", "capture", "path", "a b # c.wav"),
        ("capture.volume = 30", "capture", "volume", 30),
        ("deepgram.diarize=true", "deepgram", "diarize", True),
        ("deepgram.endpointing_ms=false", "deepgram", "endpointing_ms", False),
        ("deepgram.keepalive_s=3", "deepgram", "keepalive_s", 3.0),
        ("deepgram.language=", "deepgram", "language", ""),
        ('deepgram.keyterms=["edged", "Pi"]', "deepgram", "keyterms", ["edged", "Pi"]),
        ("deepgram.options.tag=kiosk-7", "deepgram", "options", {"tag": "kiosk-7"}),
        ("deepgram.options.numerals=true", "deepgram", "options", {"numerals": True}),
        ('deepgram.options={replace=["a:b", "c:d"]}', "deepgram", "options", {"replace": ["a:b", "c:d"]}),
    ],
)
def test_a_value_on_the_command_line_is_toml_or_plain_text(
    override: str, section: str, key: str, value: object
) -> None:
    settings = load(Path("/dev/null"), [override]).settings
    assert getattr(getattr(settings, section), key) == value


def test_free_options_of_file_and_command_line_are_joined(tmp_path: Path) -> None:
    file = tmp_path / "edged.toml"
    file.write_text("[deepgram.options]\ntag = 'a'\nversion = 'latest'\n")
    loaded = load(file, ["deepgram.options.tag=b", "deepgram.options.no_delay=true"])
    assert loaded.settings.deepgram.options == {"tag": "b", "version": "latest", "no_delay": True}
    origins = [loaded.origins[f"deepgram.options.{key}"] for key in ("tag", "version", "no_delay")]
    assert origins == ["--set", "file edged.toml", "--set"]


@pytest.mark.parametrize(
    "override", ["", "rate", "rate=1", "capture.rate", ".rate=1", "capture.=1", "=", "capture..rate=1"]
)
def test_an_invalid_override_is_a_usage_error(override: str) -> None:
    with pytest.raises(UsageError, match=r"section\.key=value"):
        load(Path("/dev/null"), [override])


@pytest.mark.parametrize("override", ["deepgram.model=n\udcff", "deepgram.mo\udcffdel=nova-3"])
def test_an_override_that_is_not_utf8_is_a_usage_error(override: str) -> None:
    """Such text can't be put into a URL."""
    with pytest.raises(UsageError, match=r"--set deepgram\.mo.*: not UTF-8 text"):
        load(Path("/dev/null"), [override])


def test_a_wrong_override_names_itself(tmp_path: Path) -> None:
    assert problems("", tmp_path, "capture.rate=fast") == [
        '--set: [capture] rate = "fast" must be 8000, 16000, 32000 or 48000'
    ]


FARM = {
    "[capture]\nrate = 44100": "[capture] rate = 44100 must be 8000, 16000, 32000 or 48000",
    "[capture]\nrate = true": "[capture] rate = true must be 8000, 16000, 32000 or 48000",
    "[capture]\nchannels = '2'": '[capture] channels = "2" must be a whole number from 1 to 32',
    "[capture]\nchannels = 0": "[capture] channels = 0 must be a whole number from 1 to 32",
    "[capture]\nchannels = 1.0": "[capture] channels = 1.0 must be a whole number from 1 to 32",
    "[capture]\ndevice = ''": '[capture] device = "" must be text in quotes, not empty',
    "[capture]\ndevice = 1999-12-31": "[capture] device = 1999-12-31 must be text in quotes, not empty",
    "[capture]\nsource = 'als'": '[capture] source = "als" must be "alsa" or "wav" (did you mean "alsa"?)',
    "[capture]\nperiodms = 3": "[capture] periodms is no option: did you mean period_ms?",
    "[capture]\nkeepalive_s = 3": "[capture] keepalive_s is no option: it belongs to [deepgram]",
    "[capture]\nkeepalives = 3": "[capture] keepalives is no option: did you mean deepgram.keepalive_s?",
    "[replay]\nzzz = 3": "[replay] zzz is no option: there are max_s",
    "[captrue]\nrate = 8000": "[captrue] is no section: did you mean [capture]?",
    "rate = 8000": "[rate] is no section: it belongs to [capture]",
    "max_s = 8000": "[max_s] is no section: it belongs to [reconnect] or [replay] or [transcripts]",
    "capture = 3": "capture is a section: write [capture], and its keys below it",
    "[[capture]]\nrate = 8000": "capture is a section: write [capture], and its keys below it",
    "[transcripts]\nfile = 'x'": "transcripts.file is a section: write [transcripts.file], and its keys below it",
    "[transcripts]\nsinks = 'file'": '[transcripts] sinks = "file" must be a list [...] of '
    '"journal", "file" or "console" (did you mean ["file"]?)',
    "[transcripts]\nsinks = ['fil', 'jornal']": '[transcripts] sinks = ["fil", "jornal"] must be a list [...] of '
    '"journal", "file" or "console" (did you mean ["file", "journal"]?)',
    "[gate]\nonset_ratio = nan": "[gate] onset_ratio = nan must be a number from 0.1 to 1",
    "[gate]\nonset_ratio = inf": "[gate] onset_ratio = inf must be a number from 0.1 to 1",
    "[deepgram]\nendpointing_ms = true": "[deepgram] endpointing_ms = true must be "
    "a whole number from 0 to 10000, or false",
    "[deepgram]\nkeyterms = ['a', '']": '[deepgram] keyterms = ["a", ""] must be a list [...] of '
    "text in quotes, not empty",
    "[deepgram]\noptions = 3": "[deepgram] options must be a table; each value text in quotes, a whole number, "
    "a number, true or false or a list [...] of text in quotes",
    f"[deepgram.options]\nx = {{ a = '{SECRET}' }}": "[deepgram.options] x must be text in quotes, a whole number, "
    "a number, true or false or a list [...] of text in quotes",
    f"[deepgram]\napi_key = '{SECRET}'": "[deepgram] api_key is no option: the key itself never stands in the "
    "settings; use deepgram.api_key_file",
    f"[deepgram]\ndeepgram_apikey = '{SECRET}'": "[deepgram] deepgram_apikey is no option: the key itself never stands "
    "in the settings; use deepgram.api_key_file",
    f"[deepgram]\nkey = '{SECRET}'": "[deepgram] key is no option: the key itself never stands in the "
    "settings; use deepgram.api_key_file",
    "[deepgram]\nkey_terms = ['a']": "[deepgram] key_terms is no option: did you mean keyterms?",
    f"[deepgram]\napi_key_file = ['{SECRET}']": "[deepgram] api_key_file must be text in quotes, not empty",
    '[capture]\n"a\\nb" = 1\ndevice = "\\u001b[2J"\nrate = 1': '[capture] "a\\nb" is no option: there are source, '
    "device, path, end_wait_s, rate, channels, channel, period_ms, buffer_ms, volume, gain_db",
}


@pytest.mark.parametrize(("text", "problem"), FARM.items())
def test_a_wrong_setting_gets_its_section_key_value_and_what_is_allowed(
    text: str, problem: str, tmp_path: Path
) -> None:
    assert problems(text, tmp_path)[0] == problem


def test_all_errors_are_reported_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "\n".join(
        [
            "[gate]",
            "frame_ms = 25",
            "[capture]",
            "rate = 44100",
            "chanels = 2",
            "[deepgram]",
            'url = "api.deepgram.com"',
            'keywords = ["a:1"]',
        ]
    )
    found = problems(text, tmp_path, "replay.max_s=1")
    assert [found_[:18] for found_ in found] == [
        "[gate] frame_ms = ",
        "[capture] rate = 4",
        "[capture] chanels ",
        "--set: [replay] ma",
        '[deepgram] url = "',
        "[deepgram] model =",
    ]
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path / "edged.toml", ["replay.max_s=1"])
    assert len(raised.value.problems) == len(found)


def test_a_contradiction_names_the_sources_of_its_options(tmp_path: Path) -> None:
    """Options at their defaults have no source."""
    file = tmp_path / "edged.toml"
    file.write_text("[deepgram]\nstall_s = 30\n[deepgram.options]\nmodel = 'a'")
    overrides = ["capture.channel=1", "reconnect.initial_s=9", "reconnect.max_s=8", "deepgram.options.tag=x"]
    assert [problem.partition(": [")[0] for problem in read(file, overrides).problems] == [
        "--set",
        str(file),
        "--set",
        str(file),
    ]
    [_, problem] = read(file, ["deepgram.inflight_s=20"]).problems
    assert problem.startswith(f"{file} and --set: [deepgram] stall_s = 30 must be less than inflight_s = 20")


def test_a_refused_option_is_not_reported_a_second_time_as_a_contradiction(tmp_path: Path) -> None:
    assert len(problems("[capture]\nchannel = 1\nchannels = 'two'", tmp_path)) == 1


BROKEN = {
    "a = ": (1, 5, "the file ends where a value"),
    "[capture]\ndevice = auto\n": (2, 10, "text needs quotes"),
    "[capture]\nrate = 1 6": (2, 10, "something follows the value"),
    "[capture": (1, 9, "lacks its ]"),
    "[gate]\n[gate]": (2, 6, "already begun"),
    "[gate]\nenabled = true\nenabled = true": (3, 15, "already set"),
    '[deepgram]\nmodel = "nova\n': (2, 14, "must end on the line"),
    "[deepgram]\nkeyterms = ['a',\n": (3, 1, "a closing ] is missing"),
    "= 1": (1, 1, "neither a [section] nor a key = value"),
    '[gate]\nx = "C:\\q"': (2, 10, "must be doubled"),
    "[gate]\nx = 1\r \ry = 2": (2, 6, "something follows the value"),
}


@pytest.mark.parametrize(("text", "place"), BROKEN.items(), ids=range(len(BROKEN)))
def test_a_syntax_error_has_line_column_and_plain_words(text: str, place: tuple[int, int, str], tmp_path: Path) -> None:
    line, column, words = place
    [problem] = problems(text, tmp_path)
    assert problem.startswith(f"line {line}, column {column}: ")
    assert words in problem


def test_a_syntax_error_does_not_show_the_text_in_its_place(tmp_path: Path) -> None:
    problems(f"[deepgram]\napi_key = {SECRET}", tmp_path)
    problems(f"[deepgram]\n{SECRET}", tmp_path)
    problems(f'[deepgram]\n"{SECRET}', tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "[deepgram]\noptions = '@'",
        "[deepgram]\noptions = ['@']",
        "[deepgram]\noptions = 'token=@'",
        "[deepgram]\nkeyterms = '@'",
        "[deepgram]\nencoding = '@'",
        "[deepgram]\n@ = 1",
        "[@]",
        "[gate]\npreset = 'Token @'",
        "deepgram = '@'",
    ],
)
def test_a_key_that_was_put_in_the_wrong_place_is_not_shown(text: str, tmp_path: Path) -> None:
    assert len(problems(text.replace("@", SECRET), tmp_path)) == 1


@pytest.mark.parametrize("override", ["@", "@=1", "x.@", "deepgram.options=@"])
def test_a_key_on_the_command_line_is_not_shown_either(override: str) -> None:
    try:
        told = " ".join(read(Path("/dev/null"), [override.replace("@", SECRET)]).problems)
    except UsageError as error:
        told = str(error)
    assert told
    assert SECRET not in told


def test_a_file_beyond_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    assert problems(b"[capture]\ndevice = 'M\xfcller'\n", tmp_path) == ["line 2: not UTF-8 text"]


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    assert problems(b"\xef\xbb\xbf[capture]\r\nrate = 8000\r\n", tmp_path) == []


def test_an_endless_number_is_an_error_of_the_file(tmp_path: Path) -> None:
    assert problems("[gate]\nx = " + "9" * 5000, tmp_path) == ["a number has too many digits"]


def test_endless_brackets_are_an_error_of_the_file(tmp_path: Path) -> None:
    [problem] = problems("[gate]\nx = " + "[" * 100_000, tmp_path)
    assert "nested too deeply" in problem or "not closed" in problem or "not TOML" in problem


def test_files_that_cannot_be_read_are_one_line_each(tmp_path: Path) -> None:
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * 1_000_001)
    os.mkfifo(tmp_path / "pipe")
    for path, text in [
        (tmp_path / "absent.toml", "there is no such file"),
        (tmp_path, "is a directory, not a file"),
        (tmp_path / "loop.toml", "can't be read: Too many levels of symbolic links"),
        (tmp_path / "pipe", "can't be read: it is a pipe or a device, not a file"),
        (Path("/dev/zero"), "can't be read: it is a pipe or a device, not a file"),
        (tmp_path / "large.toml", "is larger than 1000000 bytes: that is no configuration"),
        (Path("a\0b"), "embedded null"),
        (tmp_path / ("x" * 300), "can't be read: File name too long"),
    ]:
        with pytest.raises(ConfigurationError) as raised:
            read(path, ["capture.rate=1"])
        [problem] = raised.value.problems
        assert text in problem
        assert str(path) in problem


def test_turning_interim_results_off_turns_off_what_needs_them_unless_asked_for(tmp_path: Path) -> None:
    """The default of one option must not stand in the way of another."""
    loaded = load(Path("/dev/null"), ["deepgram.interim_results=false"])
    assert loaded.settings.deepgram.utterance_end_ms is False
    assert loaded.origins["deepgram.utterance_end_ms"] == "default without interim_results"
    [problem] = problems("[deepgram]\ninterim_results = false\nutterance_end_ms = 1000", tmp_path)
    assert "utterance_end_ms = 1000 needs interim_results = true" in problem


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_sets_options_and_an_explicit_value_overrides_it(preset: str, tmp_path: Path) -> None:
    """Wherever it is set, and in whatever order."""
    file = tmp_path / "edged.toml"
    file.write_text("[gate]\nopens_at = 0.9\n")
    loaded = load(file, [f"gate.preset={preset}", "gate.hangover_ms=700"])
    expected = {**PRESETS[preset], "opens_at": 0.9, "hangover_ms": 700}
    assert {key: getattr(loaded.settings.gate, key) for key in expected} == expected
    assert loaded.origins["gate.patience_ms"] == f'preset "{preset}"'
    assert loaded.origins["gate.hangover_ms"] == "--set"


def test_the_normal_preset_equals_the_defaults() -> None:
    gate = Settings().gate
    assert {key: getattr(gate, key) for key in PRESETS[gate.preset]} == PRESETS[gate.preset]


def test_each_preset_sets_the_same_options() -> None:
    assert len({frozenset(keys) for keys in PRESETS.values()}) == 1
