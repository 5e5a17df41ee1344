"""README and docs: commands are run or parsed; settings, figures, log lines and links are checked against the code."""

import ast
import os
import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import msgspec
import pytest

from edged.cli.main import COMMANDS, Parser
from edged.config import loader
from edged.config.options import Option, options, sections, toml
from edged.config.settings import Settings
from edged.daemon.summary import Summary
from edged.model.errors import ExitStatus
from edged.model.record import Record, decode
from edged.testkit.faults import parse_fault as parse_fault

ROOT = Path(__file__).parents[1]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))}
"""The text of each page, by its path in the repository."""
USER_PAGES = {"README.md": PAGES["README.md"]} | {name: PAGES[name] for name in sorted(PAGES) if "/" in name}
"""The pages for people who use edged; the others are for those who change it."""
OPTIONS: dict[str, Option] = {option.name: option for option in options()}
SECTIONS = {name for name, _ in sections()}
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
PROSE = {name: FENCE.sub("", text) for name, text in PAGES.items()}
"""The pages without their code blocks."""
USER_PROSE = "\n".join(PROSE[name] for name in USER_PAGES)


def blocks(language: str, page: str | None = None) -> list[str]:
    """The code blocks of a language, in a page or in all for users, without the indentation of the list around them."""
    texts = USER_PAGES.values() if page is None else [PAGES[page]]
    return [
        re.sub(rf"^{match[1]}", "", match[3], flags=re.MULTILINE)
        for text in texts
        for match in FENCE.finditer(text)
        if match[2] == language
    ]


def shell_lines(page: str | None = None) -> list[str]:
    """The commands of all shell blocks, each on one line."""
    joined = "\n".join(blocks("sh", page)).replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip()]


def calls_of_edged() -> Iterator[list[str]]:
    """The arguments of each `edged ...`, in shell blocks and in the prose."""
    inline = [code for code in CODE.findall(USER_PROSE) if re.match(r"(\.venv/bin/)?edged [a-z-]", code)]
    for line in [*shell_lines(), *inline]:
        for part in _commands(line):
            if Path(part[0]).name == "edged":
                yield part[1:]


def _commands(line: str) -> Iterator[list[str]]:
    """The simple commands of a line: words between pipes and redirections."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|>&;")
    lexer.whitespace_split = True
    words: list[str] = []
    target = False
    for word in lexer:
        if set(word) <= set("|&;"):
            if words:
                yield words
            words = []
        elif word == ">":
            target = True
        elif target:
            target = False
        else:
            words.append(word)
    if words:
        yield words


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the tables under a heading of a page, up to the next of the same depth."""
    section = PAGES[page].split(f"\n{heading}\n", 1)[1]
    section = re.split(rf"^{'#' * heading.index(' ')} ", section, maxsplit=1, flags=re.MULTILINE)[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table if not line.startswith("|---")]


def test_each_command_line_of_edged_is_one_that_edged_takes(tmp_path: Path) -> None:
    parser = Parser(prog="edged")
    subparsers = parser.add_subparsers(dest="command", required=True)
    for module, _ in COMMANDS.values():
        import_module(module).add(subparsers)
    seen = set()
    for arguments in calls_of_edged():
        if arguments[-1] == "--help":
            assert arguments[:-1] == [] or arguments[0] in COMMANDS
            continue
        parsed = parser.parse_args(arguments)
        seen.add(parsed.command)
        overrides = [each for each in getattr(parsed, "set", []) if each != "section.key=value"]
        assert loader.read(Path("/dev/null"), overrides).problems == []
        for fault in getattr(parsed, "fault", []):
            parse_fault(fault)
    assert seen >= {"run", "check", "devices", "recognizer", "demo"}


def test_each_script_is_there_and_can_be_started() -> None:
    named = {word for line in shell_lines() for word in line.split() if word.startswith("script/")}
    named |= {
        code.split()[0]
        for code in CODE.findall(USER_PROSE + PROSE["CONTRIBUTING.md"])
        if re.match(r"script/[\w-]+(?!\S)", code)
    }
    assert named >= {"script/setup", "script/demo", "script/test"}
    assert all(os.access(ROOT / script, os.X_OK) for script in named)


@pytest.mark.parametrize("block", blocks("toml"))
def test_each_configuration_is_one_that_edged_takes(block: str, tmp_path: Path) -> None:
    file = tmp_path / "edged.toml"
    file.write_text(block)
    assert loader.read(file).problems == []


def test_each_option_that_is_named_exists() -> None:
    named = [
        (match[1], code) for code in CODE.findall(USER_PROSE) if (match := re.match(r"([a-z.]+)\.[a-z_]+\b", code))
    ]
    of_ours = {code.split(" ")[0].split("=")[0] for section, code in named if section in SECTIONS}
    assert len(of_ours) > 20
    assert of_ours - OPTIONS.keys() == set()


def test_each_section_that_is_named_exists() -> None:
    named = re.findall(r"^\[([a-z._]+)\]", "\n".join(blocks("toml")), re.MULTILINE) + re.findall(
        r"`\[([a-z._]+)\]`", USER_PROSE
    )
    assert set(named) - SECTIONS - {"deepgram.options"} == set()


def test_a_number_in_brackets_behind_an_option_is_its_default() -> None:
    """An example is `reconnect.max_s` (30)."""
    found = re.findall(r"`([a-z_.]+)`\s\(([\d.]+)\)", USER_PROSE)
    assert len(found) > 10
    assert {name: value for name, value in found if float(value) != OPTIONS[name].default} == {}


@pytest.mark.parametrize(
    ("page", "heading"),
    [
        ("README.md", "## Five settings that people change"),
        ("docs/configuration.md", "## The settings people change first"),
    ],
)
def test_a_table_of_settings_has_their_defaults(page: str, heading: str) -> None:
    table = rows(page, heading)[1:]
    assert len(table) >= 5
    for name, default, _ in table:
        assert default == f"`{toml(OPTIONS[name.strip('`')].default)}`"


def test_the_transcript_on_the_first_screen_is_a_record() -> None:
    (block,) = blocks("json")
    assert block.count("\n") == 1, "a record is one line"
    record = decode(block)
    assert msgspec.json.decode(msgspec.json.encode(record)) == msgspec.json.decode(block), "it has no other fields"


def test_each_field_of_a_record_is_explained_and_no_other() -> None:
    explained = [name for row in rows("docs/transcripts.md", "## Records")[1:] for name in CODE.findall(row[0])]
    assert sorted(explained) == sorted(field.encode_name for field in msgspec.structs.fields(Record))


def test_each_exit_status_is_explained_and_no_other() -> None:
    assert [int(status) for status, _ in rows("docs/operations.md", "## Exit statuses")[1:]] == sorted(ExitStatus)


@cache
def source() -> str:
    """All texts in edged's code; what is put into them while it runs is `...`."""

    def text(node: ast.AST) -> str | None:
        if isinstance(node, ast.JoinedStr):
            return "".join(text(part) or "..." for part in node.values)
        return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None

    files = sorted((ROOT / "edged").rglob("*.py"))
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text())))
    return "\n".join(found for node in nodes if (found := text(node)))


@pytest.mark.slow
@pytest.mark.parametrize("row", rows("docs/operations.md", "## What happens when"), ids=lambda row: row[0][:40])
def test_what_the_log_is_said_to_say_is_what_edged_says(row: list[str]) -> None:
    assert len(row) == 3
    assert [text for text in CODE.findall(row[1]) if text not in source()] == []


def test_the_summary_that_is_shown_has_the_form_of_todays() -> None:
    shown = next(block for block in blocks("") if block.startswith("captured "))
    figures = [float(figure) for figure in re.findall(r"\d+(?:\.\d+)?", shown)]
    today = Summary(
        run="", captured_s=598.9, sent_s=102.9, keepalives=118, connections=1, reconnects=0, utterances=20, words=160,
        holes=0, evicted_s=0, left_s=0, usd_estimated=102.9 / 60 * Settings().deepgram.usd_per_minute,
    )  # fmt: skip
    assert shown == today.line() + "\n"
    whole_s, usd = re.findall(r"would have been ([\d.]+) s, ([\d.]+) USD", PROSE["docs/cost.md"])[0]
    assert float(whole_s) == figures[0]
    assert float(usd) == pytest.approx(figures[0] / 60 * Settings().deepgram.usd_per_minute, abs=5e-5)


def test_the_prices_are_computed_from_the_default() -> None:
    for _, a_day, usd in rows("docs/cost.md", "## Estimate a month")[1:]:
        amount, unit = a_day.split()
        minutes = float(amount) * {"h": 60, "min": 1}[unit]
        assert float(usd) == pytest.approx(30 * minutes * Settings().deepgram.usd_per_minute, abs=0.005)


def test_the_memory_for_outages_is_computed() -> None:
    (megabytes,) = re.findall(r"([\d.]+) MB a minute at 16 kHz", USER_PROSE)
    assert float(megabytes) == pytest.approx(16_000 * 2 * 60 / 1e6, abs=0.05)


def anchor(heading: str) -> str:
    """Return the anchor of a heading, by GitHub's rule."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    text = FENCE.sub("", page.read_text())
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("name", PAGES)
def test_each_link_leads_somewhere(name: str) -> None:
    here = ROOT / name
    broken = []
    for link in re.findall(r"\]\(([^)]+)\)", PROSE[name]):
        if link.startswith("https://"):
            continue
        path, _, wanted = link.partition("#")
        target = (here.parent / path).resolve() if path else here
        if not target.exists() or (wanted and wanted not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_readme_is_short_and_leads_to_each_page() -> None:
    readme = PAGES["README.md"]
    assert readme.count("\n") <= 200
    assert [name for name in PAGES if name != "README.md" and f"]({name})" not in readme] == []


@pytest.mark.parametrize("name", PAGES)
def test_code_in_prose_stands_on_one_line(name: str) -> None:
    """The other tests, and people who copy it, find it whole."""
    assert [line for line in PROSE[name].splitlines() if line.count("`") % 2] == []


@pytest.mark.parametrize("name", [name for name in USER_PAGES if name != "README.md"])
def test_a_page_begins_with_what_it_is_for(name: str) -> None:
    """A title, then a paragraph, before anything else."""
    title, empty, first, *_ = PAGES[name].splitlines()
    assert re.match(r"# \S", title)
    assert (empty, first[0].isalpha()) == ("", True)


@pytest.mark.parametrize(("page", "least"), [("ARCHITECTURE.md", 30), ("CONTRIBUTING.md", 8)])
def test_the_files_that_a_page_for_contributors_names_exist(page: str, least: int) -> None:
    named = {code for code in CODE.findall(PROSE[page]) if re.fullmatch(r"[\w/]+\.(py|c|catalog)|[a-z_/]+/", code)}
    assert len(named) >= least
    assert {name for name in named if not any((place / name).exists() for place in (ROOT, ROOT / "edged"))} == set()


@pytest.mark.slow
def test_the_classes_that_the_architecture_names_exist() -> None:
    """A capitalised word in code style is a class of edged's; `Pure.` aside."""
    named = {code for code in CODE.findall(PROSE["ARCHITECTURE.md"]) if re.fullmatch(r"([A-Z][a-z]+)+", code)}
    files = [*(ROOT / "edged").rglob("*.py")]
    classes = {
        node.name for file in files for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ClassDef)
    }
    assert len(named) > 10
    assert named - classes - {"Pure"} == set()


def test_the_command_for_logrotate_finds_edged_run_and_not_the_shell_that_runs_it() -> None:
    rotation = next(block for block in blocks("", "docs/transcripts.md") if "postrotate" in block)
    assert rotation.startswith(f"{Settings().transcripts.file.path} {{\n")
    (pattern,) = re.findall(r"pkill -HUP -f '(.+)'", rotation)
    assert re.search(pattern, "/usr/bin/python3 /home/pi/edged/.venv/bin/edged run --config kiosk.toml")
    assert not re.search(pattern, rotation)
    assert not re.search(pattern, "/usr/bin/python3 /home/pi/edged/.venv/bin/edged recognizer")
