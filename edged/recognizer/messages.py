"""Messages of the server as JSON text. Pure."""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

NET_0000 = "Deepgram did not provide a response message within the timeout window. See https://dpgr.am/net0000"
NET_0001 = (
    "Deepgram did not receive audio data or a text message within the timeout window. See https://dpgr.am/net0001"
)
DATA_0000 = "The payload cannot be decoded as audio. See https://dpgr.am/data0000"


def seconds(value: float) -> float:
    """Round as Deepgram does: through a 32-bit float, so that a time is right to 1 ms for the first hours."""
    short: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return round(short, 6)


@dataclass(frozen=True)
class MessageBuilder:
    """Builder of the messages of one connection."""

    request_id: str
    model: str
    created: str
    """Time of the connection's start (RFC 3339)."""

    @property
    def _info(self) -> dict[str, str]:
        return {"name": f"general-{self.model}", "version": "edged", "arch": self.model}

    def results(
        self,
        words: Sequence[dict[str, Any]],
        start_s: float,
        end_s: float,
        *,
        is_final: bool,
        speech_final: bool = False,
        from_finalize: bool = False,
    ) -> str:
        """`Results` for a window of audio; `words` as `word` makes them."""
        transcript = " ".join(word.get("punctuated_word", word["word"]) for word in words)
        confidence = sum(word["confidence"] for word in words) / len(words) if words else 0.0
        alternative = {"transcript": transcript, "confidence": seconds(confidence), "words": list(words)}
        return json.dumps(
            {
                "type": "Results",
                "channel_index": [0, 1],
                "duration": seconds(end_s - start_s),
                "start": seconds(start_s),
                "is_final": is_final,
                "speech_final": speech_final,
                "channel": {"alternatives": [alternative]},
                "metadata": {
                    "request_id": self.request_id,
                    "model_info": self._info,
                    "model_uuid": "00000000-0000-0000-0000-000000000000",
                },
                "from_finalize": from_finalize,
            }
        )

    def metadata(self, duration_s: float) -> str:
        """`Metadata`, the last message of a stream."""
        model_id = "00000000-0000-0000-0000-000000000000"
        return json.dumps(
            {
                "type": "Metadata",
                "transaction_key": "deprecated",
                "request_id": self.request_id,
                "sha256": "incomplete",
                "created": self.created,
                "duration": seconds(duration_s),
                "channels": 1,
                "models": [model_id],
                "model_info": {model_id: self._info},
            }
        )


def word(
    text: str, start_s: float, end_s: float, confidence: float, *, punctuated: str | None, speaker: int | None
) -> dict[str, Any]:
    """One word of a `Results`; `punctuated` and `speaker` only where they were asked for."""
    entry: dict[str, Any] = {
        "word": text,
        "start": seconds(start_s),
        "end": seconds(end_s),
        "confidence": seconds(confidence),
    }
    if punctuated is not None:
        entry["punctuated_word"] = punctuated
    if speaker is not None:
        entry["speaker"] = speaker
    return entry


def utterance_end(last_word_end_s: float) -> str:
    """Return an `UtteranceEnd` message."""
    return json.dumps({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": seconds(last_word_end_s)})


def speech_started(at_s: float) -> str:
    """Return a `SpeechStarted` message."""
    return json.dumps({"type": "SpeechStarted", "channel": [0, 1], "timestamp": seconds(at_s)})


def error(text: str) -> str:
    """`Error`: a message of the client that can't be understood."""
    return json.dumps(
        {
            "type": "Error",
            "variant": "UnparsableClientMessage",
            "description": text,
            "message": "Could not decode the text data sent as a valid message.",
        }
    )
