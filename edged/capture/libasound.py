"""libasound through ctypes, for what alsaaudio does not pass on: the cause of a failure, and the library's path."""

import ctypes
import errno
import logging
import os
import threading
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

library: Final = ctypes.CDLL("libasound.so.2")
"""The instance that alsaaudio has loaded."""
_libc: Final = ctypes.CDLL(None)
_libc.vsnprintf.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p)
_libc.dladdr.argtypes = (ctypes.c_void_p, ctypes.c_void_p)

MAX_MESSAGES: Final = 8
"""Messages kept for one failure. The first ones name its cause, the others its consequences."""
MESSAGE_BYTES: Final = 512

_this_thread = threading.local()


def collect_messages() -> list[str]:
    """Send libasound's messages of this thread to the debug log instead of to standard error.

    Returns the list that collects them, until the next call in this thread.
    """
    library.snd_lib_error_set_local(_handler)
    messages: list[str] = []
    _this_thread.messages = messages
    return messages


def _collect(
    _file: bytes, _line: int, function: bytes | None, error: int, text: bytes | None, values: int | None
) -> None:
    """Collect a message; implements `snd_local_error_handler_t`.

    The last argument is a va_list, which is passed as a pointer on x86-64, arm64 and armv7.
    """
    buffer = ctypes.create_string_buffer(MESSAGE_BYTES)
    _libc.vsnprintf(buffer, MESSAGE_BYTES, text or b"", values)
    message = buffer.value.decode(errors="replace").strip()
    if error:
        message += f": {os.strerror(abs(error))}"
    if len(_this_thread.messages) < MAX_MESSAGES:
        _this_thread.messages.append(message)
    logger.debug("libasound: %s: %s", (function or b"").decode(), message)


_ARGUMENTS = (ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_handler = ctypes.CFUNCTYPE(None, *_ARGUMENTS)(_collect)
"""Callback that must stay alive, because libasound only holds its address."""


def configuration_fault(device: str) -> str | None:
    """Return what is wrong with ALSA's configuration for a device name, with the cure; None if it defines the name.

    The definition itself is not checked. An undefined `default` is no fault: it comes with the first card.
    """
    messages = collect_messages()
    if library.snd_config_update() < 0:
        return f"ALSA's configuration can't be read: {'; '.join(messages[:2])}"
    if not _defines(b"pcm", None):
        return "ALSA's configuration defines no devices: install libasound2-data, or correct ALSA_CONFIG_PATH"
    if device == "default" or _defines(b"pcm", device.encode()):
        return None
    return f"no ALSA device is called {device}: correct capture.device (`edged devices` lists all)"


def _defines(base: bytes, name: bytes | None) -> bool:
    """Return whether the configuration, once read, has a compound `base`, or a definition `name` in it."""
    root, definition = ctypes.c_void_p.in_dll(library, "snd_config"), ctypes.c_void_p()
    if name is None:
        return bool(library.snd_config_search(root, base, None) == 0)
    error = library.snd_config_search_definition(root, base, name, ctypes.byref(definition))
    if definition:
        library.snd_config_delete(definition)
    return bool(error != -errno.ENOENT)


class _Location(ctypes.Structure):
    """The structure Dl_info of dladdr(3)."""

    _fields_ = (
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    )


def path() -> Path | None:
    """Return the path of the library, or None. The loader knows it, so this works without /proc."""
    info = _Location()
    if not _libc.dladdr(ctypes.cast(library.snd_pcm_open, ctypes.c_void_p), ctypes.byref(info)) or not info.file:
        return None
    return Path(os.fsdecode(info.file))
