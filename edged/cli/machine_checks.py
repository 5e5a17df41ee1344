"""What the settings meet on this machine: the key, files, the source of audio, the spool's room, the journal.

Changes nothing. The microphone is opened for a moment: there is no other way to know what it can do.
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
    """What was found."""

    key: ApiKey | None
    problems: list[str]
    """Lines about what keeps edged from working, however often it is started."""
    warnings: list[str]
    """Lines about what may be so on purpose, may pass, or keeps less than it promises."""


def look(settings: Settings, environ: Mapping[str, str], ignore: Collection[str] = ()) -> MachineChecks:
    """Look at everything these settings name, but for the options (`section.key`) in `ignore`."""
    seen = MachineChecks(None, [], [])
    if "deepgram.api_key_file" not in ignore:
        seen = seen._replace(key=_key(settings, environ, seen))
    if "deepgram.ca_file" not in ignore:
        _certificates(settings, seen)
    if "deepgram.url" not in ignore:
        _proxy(settings, environ, seen)
    if not any(option.startswith("capture.") for option in ignore):  # what is left of them was not asked for
        _source(settings, seen)
    seen.problems.extend(spool_problems(settings.spool))
    seen.warnings.extend(spool_cautions(settings.spool, settings.capture.rate))
    _detectors(settings, seen)
    sinks = check_sinks(settings.transcripts, environ)
    seen.problems.extend(sinks.problems)
    seen.warnings.extend(sinks.warnings)
    return seen


def _key(settings: Settings, environ: Mapping[str, str], seen: MachineChecks) -> ApiKey | None:
    try:
        key = read_key(settings, environ)
    except ConfigurationError as error:
        seen.problems.extend(error.problems)
        return None
    if key is None and not is_local_host(settings.deepgram.url):
        seen.warnings.append(NO_KEY)
    if key is not None and key.warning:
        seen.warnings.append(key.warning)
    return key


def _certificates(settings: Settings, seen: MachineChecks) -> None:
    if file := settings.deepgram.ca_file:
        try:
            verifying_context(file)
        except ConfigurationError as error:
            seen.problems.extend(error.problems)


def _proxy(settings: Settings, environ: Mapping[str, str], seen: MachineChecks) -> None:
    try:
        find_proxy(settings.deepgram.url, environ)
    except RefusedError as error:  # as a warning: the service's environment may be another
        seen.warnings.append(str(error))


def _source(settings: Settings, seen: MachineChecks) -> None:
    try:
        missing = open_source(settings.capture, lambda _: None).check()
    except ConfigurationError as error:
        seen.problems.extend(error.problems)
        return
    except SourceMismatchError as error:
        seen.problems.append(str(error))
        return
    if missing:
        proven = missing.message_id is MessageId.ALSA
        (seen.problems if proven else seen.warnings).append(missing.reason)
    if settings.capture.source == "alsa":
        from edged.capture.devices import converter_warning  # it needs ALSA: a machine without may play recordings

        seen.warnings.extend(filter(None, (converter_warning(), ambiguity_warning(settings.capture.device))))


def _detectors(settings: Settings, seen: MachineChecks) -> None:
    from edged.gate.detectors import second_detector, why_unavailable  # `check --sample` needs none of it

    try:
        second_detector(settings.gate, settings.capture.rate)
    except ConfigurationError as error:
        seen.problems.extend(error.problems)
        return
    if settings.gate.enabled and settings.gate.second_opinion == "auto" and (why := why_unavailable("silero")):
        seen.warnings.append(f"[gate] second_opinion is none, so that loud noise is sent, and paid for: {why}")
