"""Decoders from what clients send to samples. Pure."""

from collections.abc import Callable, Mapping
from typing import Final


def _linear16(data: bytes) -> bytes:
    return data


def _mulaw(data: bytes) -> bytes:
    return b"".join(map(_MULAW.__getitem__, data))


def _sample(byte: int) -> int:
    """G.711: a step in one of eight chords, which double in width."""
    chord, step = divmod(~byte & 0x7F, 16)
    magnitude = ((2 * step + 33) << chord + 2) - 132
    return magnitude if byte & 0x80 else -magnitude


_MULAW: Final = [_sample(byte).to_bytes(2, "little", signed=True) for byte in range(256)]

DECODERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {"linear16": _linear16, "mulaw": _mulaw}
"""Decoders to s16le, by `encoding`."""
