"""Checks of what the settings need on this machine: the key, files, the audio source, the spool and the journal.

They change nothing. The microphone is opened briefly, as nothing else shows what it supports.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from edged.capture.cards import ambiguity_warning
from edged.capture.factory import open_source
from edged.cli.storage_checks import spool_cautions, spool_problems
from edged.config.api_key import NO_KEY, ApiKey, read_key
from edged.config.settings import Settings
from edged.model.errors import ConfigurationError, RefusedError, SourceMismatchError
from edged.model.message_ids import MessageId
from edged.model.urls import is_local_host
from edged.stream.proxy import find_proxy
from edged.stream.tls import verifying_context
from edged.transcripts.sinks.registry import check_sinks


class MachineChecks(NamedTuple):
    """Results of the checks."""

    key: ApiKey | None
    problems: list[str]
    """Messages about what prevents edged from working, however often it starts."""
    warnings: list[str]
    """Messages about what may be intended, may pass, or weakens a promise."""


def check_machine(settings: Settings, environ: Mapping[str, str], ignore: Collection[str] = ()) -> MachineChecks:
    """Check everything that the settings name, except the options (`section.key`) in `ignore`."""
    checks = MachineChecks(None, [], [])
    if "deepgram.api_key_file" not in ignore:
        checks = checks._replace(key=_key(settings, environ, checks))
    if "deepgram.ca_file" not in ignore:
        _certificates(settings, checks)
    if "deepgram.url" not in ignore:
        _proxy(settings, environ, checks)
    if not any(option.startswith("capture.") for option in ignore):  # or it would check what nobody asked for
        _source(settings, checks)
    checks.problems.extend(spool_problems(settings.spool))
    checks.warnings.extend(spool_cautions(settings.spool, settings.capture.rate))
    _detectors(settings, checks)
    sinks = check_sinks(settings.transcripts, environ)
    checks.problems.extend(sinks.problems)
    checks.warnings.extend(sinks.warnings)
    return checks


def _key(settings: Settings, environ: Mapping[str, str], checks: MachineChecks) -> ApiKey | None:
    try:
        key = read_key(settings, environ)
    except ConfigurationError as error:
        checks.problems.extend(error.problems)
        return None
    if key is None and not is_local_host(settings.deepgram.url):
        checks.warnings.append(NO_KEY)
    if key is not None and key.warning:
        checks.warnings.append(key.warning)
    return key


def _certificates(settings: Settings, checks: MachineChecks) -> None:
    if file := settings.deepgram.ca_file:
        try:
            verifying_context(file)
        except ConfigurationError as error:
            checks.problems.extend(error.problems)


def _proxy(settings: Settings, environ: Mapping[str, str], checks: MachineChecks) -> None:
    try:
        find_proxy(settings.deepgram.url, environ)
    except RefusedError as error:  # as a warning: the service's environment may be another
        checks.warnings.append(str(error))


def _source(settings: Settings, checks: MachineChecks) -> None:
    try:
        missing = open_source(settings.capture, lambda _: None).check()
    except ConfigurationError as error:
        checks.problems.extend(error.problems)
        return
    except SourceMismatchError as error:
        checks.problems.append(str(error))
        return
    if missing:
        proven = missing.message_id is MessageId.ALSA
        (checks.problems if proven else checks.warnings).append(missing.reason)
    if settings.capture.source == "alsa":
        from edged.capture.devices import converter_warning  # it needs ALSA: a machine without may play recordings

        checks.warnings.extend(filter(None, (converter_warning(), ambiguity_warning(settings.capture.device))))


def _detectors(settings: Settings, checks: MachineChecks) -> None:
    from edged.gate.detectors import second_detector, why_unavailable  # `check --sample` needs none of it

    try:
        second_detector(settings.gate, settings.capture.rate)
    except ConfigurationError as error:
        checks.problems.extend(error.problems)
        return
    if settings.gate.enabled and settings.gate.second_opinion == "auto" and (why := why_unavailable("silero")):
        checks.warnings.append(f"[gate] second_opinion is none, so loud noise is sent and paid for: {why}")
