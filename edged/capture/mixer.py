"""The capture volumes and switches of a card, through libasound's simple mixer.

By ctypes: alsaaudio names elements without their index, so that it can't reach the second of two called `Mic`.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref, c_char_p, c_int, c_long, c_void_p
from typing import Final, NamedTuple

from edged.capture import cards
from edged.capture.libasound import library, listen
from edged.model.cures import with_cure
from edged.model.errors import SourceError

PREFERRED: Final = ("Mic", "Capture")
"""What USB microphones and codecs call the control that people mean; without either, all that capture are meant."""


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
    """A simple element of a mixer, as far as it captures; what is common to playback and capture is left alone."""

    name: str
    element: int
    has_volume: bool
    has_switch: bool


def set_volume(device: str, percent: int) -> None:
    """Set the capture volume of a device's card, and switch it on. Raises SourceError if it has no such volume."""
    address = cards.address(device)
    mixer = f"hw:CARD={address.card}" if address else device
    with _opened(mixer) as controls:
        volumes, switches = chosen([control for control in controls if control.has_volume or control.has_switch])
        for control in volumes:
            _check(mixer, _set_volume(control.element, _of_range(control, percent)))
        for control in switches:
            _check(mixer, _set_switch(control.element, 1))
    if not volumes:
        switched = "; its capture switch is on" if switches else ""
        raise SourceError(f"capture.volume can't be set: {mixer} has no capture volume{switched}")


def chosen(controls: list[Control]) -> tuple[list[Control], list[Control]]:
    """Those to set the volume of, and those to switch on.

    A control with one of the usual names leaves the others alone, which may be a line or a second input. Volume and
    switch need not be one control.
    """
    named = [control for control in controls if control.name in PREFERRED]
    volumes = [control for control in named if control.has_volume] or [
        control for control in controls if control.has_volume
    ]
    switches = [control for control in controls if control.has_switch and control in (*(named or controls), *volumes)]
    return volumes, switches


def _of_range(control: Control, percent: int) -> int:
    least, most = c_long(), c_long()
    _range(control.element, byref(least), byref(most))
    return least.value + round((most.value - least.value) * percent / 100)


@contextmanager
def _opened(mixer: str) -> Iterator[list[Control]]:
    """The controls of a mixer, valid within the context."""
    listen()
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
