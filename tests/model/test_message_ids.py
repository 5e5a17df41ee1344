"""The message catalog, which `journalctl -x` shows below the log lines of edged."""

import re
from pathlib import Path

import pytest

from edged.config.options import options
from edged.model.message_ids import MessageId
from edged.transcripts.journal_entry import MESSAGE_ID

ROOT = Path(__file__).parents[2]
CATALOG = (ROOT / "systemd" / "edged.catalog").read_text()
ENTRIES = dict(re.findall(r"^-- ([0-9a-f]{32})\n(.*?)(?=^-- |\Z)", CATALOG, re.MULTILINE | re.DOTALL))


def test_the_catalog_explains_each_message_id_and_nothing_else() -> None:
    assert ENTRIES.keys() == {str(each) for each in MessageId}
    assert MESSAGE_ID not in ENTRIES, "transcripts are no trouble"


@pytest.mark.parametrize("message_id", MessageId, ids=lambda each: each.name)
def test_an_explanation_has_a_subject_pages_and_a_text_for_a_terminal(message_id: MessageId) -> None:
    head, text = ENTRIES[message_id].split("\n\n", 1)
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    assert fields.keys() == {"Subject", "Defined-By", "Documentation"}
    assert {"man:edged(1)", "man:edged.toml(5)"} >= set(fields["Documentation"].split())
    assert len(text) > 100
    assert max(map(len, text.splitlines())) <= 80


def test_the_settings_that_the_catalog_names_exist() -> None:
    sections = {option.section for option in options()}
    named = {word for word in re.findall(r"\b[a-z_.]+\.[a-z_]+\b", CATALOG) if word.rpartition(".")[0] in sections}
    assert named
    assert named <= {option.name for option in options()}


def test_each_message_id_is_used_somewhere() -> None:
    code = "".join(file.read_text() for file in (ROOT / "edged").rglob("*.py"))
    assert [each.name for each in MessageId if f"MessageId.{each.name}" not in code] == []
