"""The capture volumes and switches of a card, through libasound's simple mixer.

edged calls it through ctypes, because alsaaudio names elements without their index: it can't reach the second of two
called `Mic`.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref, c_char_p, c_int, c_long, c_void_p
from typing import Final, NamedTuple

from edged.capture import cards
from edged.capture.libasound import collect_messages, library
from edged.model.cures import with_cure
from edged.model.errors import SourceError

PREFERRED: Final = ("Mic", "Capture")
"""Names that USB microphones and codecs give to the main capture control; without them, all controls count."""


def _function(name: str, *arguments: type, result: type = c_int) -> "ctypes._NamedFuncPointer":
    function = library[f"snd_mixer_{name}"]
    function.argtypes, function.restype = arguments, result
    return function


_open = _function("open", c_void_p, c_int)
_attach = _function("attach", c_void_p, c_char_p)
_register = _function("selem_register", c_void_p, c_void_p, c_void_p)
_load = _function("load", c_void_p)
_close = _function("close", c_void_p)
_first = _function("first_elem", c_void_p, result=c_void_p)
_next = _function("elem_next", c_void_p, result=c_void_p)
_name = _function("selem_get_name", c_void_p, result=c_char_p)
_has_volume = _function("selem_has_capture_volume", c_void_p)
_has_common_volume = _function("selem_has_common_volume", c_void_p)
_has_switch = _function("selem_has_capture_switch", c_void_p)
_has_common_switch = _function("selem_has_common_switch", c_void_p)
_range = _function("selem_get_capture_volume_range", c_void_p, c_void_p, c_void_p)
_set_volume = _function("selem_set_capture_volume_all", c_void_p, c_long)
_set_switch = _function("selem_set_capture_switch_all", c_void_p, c_int)


class Control(NamedTuple):
    """A simple element of a mixer that captures. A control shared by playback and capture counts as neither."""

    name: str
    element: int
    has_volume: bool
    has_switch: bool


def set_volume(device: str, percent: int) -> None:
    """Set the capture volume of a device's card, and switch capture on. Raises SourceError without such a volume."""
    address = cards.parse_address(device)
    mixer = f"hw:CARD={address.card}" if address else device
    with _open_mixer(mixer) as controls:
        volumes, switches = choose_controls(
            [control for control in controls if control.has_volume or control.has_switch]
        )
        for control in volumes:
            _check(mixer, _set_volume(control.element, _scale(control, percent)))
        for control in switches:
            _check(mixer, _set_switch(control.element, 1))
    if not volumes:
        switched = "; its capture switch is on" if switches else ""
        raise SourceError(f"capture.volume can't be set: {mixer} has no capture volume{switched}")


def choose_controls(controls: list[Control]) -> tuple[list[Control], list[Control]]:
    """Return the controls to set the volume of, and those to switch on.

    If a control has one of the usual names, the others are left alone: they may be a line or a second input. Volume and
    switch need not be one control.
    """
    named = [control for control in controls if control.name in PREFERRED]
    volumes = [control for control in named if control.has_volume] or [
        control for control in controls if control.has_volume
    ]
    switches = [control for control in controls if control.has_switch and control in (*(named or controls), *volumes)]
    return volumes, switches


def _scale(control: Control, percent: int) -> int:
    lowest, highest = c_long(), c_long()
    _range(control.element, byref(lowest), byref(highest))
    return lowest.value + round((highest.value - lowest.value) * percent / 100)


@contextmanager
def _open_mixer(mixer: str) -> Iterator[list[Control]]:
    """Open a mixer; yield its controls, which are valid within the context."""
    collect_messages()
    handle = c_void_p()
    _check(mixer, _open(byref(handle), 0))
    try:
        _check(mixer, _attach(handle, mixer.encode()))
        _check(mixer, _register(handle, None, None))
        _check(mixer, _load(handle))
        yield list(_controls(handle))
    finally:
        _close(handle)


def _controls(handle: c_void_p) -> Iterator[Control]:
    element = _first(handle)
    while element:
        volume = _has_volume(element) and not _has_common_volume(element)
        switch = _has_switch(element) and not _has_common_switch(element)
        yield Control(_name(element).decode(errors="replace"), element, bool(volume), bool(switch))
        element = _next(element)


def _check(mixer: str, result: int) -> None:
    if result < 0:
        failed = OSError(-result, os.strerror(-result))
        raise SourceError(f"capture.volume can't be set on {mixer}: {with_cure(failed)}")
