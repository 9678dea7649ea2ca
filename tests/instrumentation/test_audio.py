"""How long audio lasts, told from its format and its first bytes."""

import io
import wave
from decimal import Decimal

import pytest

from callfare import attributes as names
from callfare.audio import duration
from callfare.calls.span import CallRequest, open_call

D = Decimal


@pytest.mark.parametrize(
    ("encoding", "rate", "channels", "bytes_per_second"),
    [
        ("linear16", 16_000, 1, 32_000),
        ("linear16", 48_000, 2, 192_000),
        ("mulaw", 8_000, 1, 8_000),
        ("pcm_f32le", 44_100, 1, 176_400),
        ("opus", 48_000, 1, None),
        ("linear16", 0, 1, None),
    ],
)
def test_bytes_of_a_second(encoding, rate, channels, bytes_per_second) -> None:
    """Raw encodings have a rate; compressed ones have none we could state."""
    assert duration.bytes_per_second(encoding, rate, channels) == bytes_per_second


@pytest.mark.parametrize(
    ("name", "bytes_per_second"),
    [("pcm_16000", 32_000), ("ulaw_8000", 8_000), ("mp3_44100_128", 16_000), ("opus_48000_32", None), ("", None)],
)
def test_bytes_of_a_second_of_a_format_in_one_word(name, bytes_per_second) -> None:
    """As ElevenLabs names them."""
    assert duration.format_bytes_per_second(name) == bytes_per_second


def test_a_wav_file_lasts_as_long_as_its_bytes(wav) -> None:
    """Exact seconds, also with other chunks before the data, a size left open, or a file cut off."""
    file = wav(1.5, channels=2)
    assert duration.wav_seconds(file[:100], len(file)) == D("1.5")
    assert duration.wav_seconds(file[:100], len(file) - 32_000) == D(1)
    listed = file[:12] + b"LIST\x04\0\0\0abcd" + file[12:]
    assert duration.wav_seconds(listed, len(listed)) == D("1.5")
    data = file.index(b"data")
    streamed = file[: data + 4] + b"\xff\xff\xff\xff" + file[data + 8 :]
    assert duration.wav_seconds(streamed, len(streamed)) == D("1.5")
    assert duration.wav_seconds(b"ID3", 3) is None
    assert duration.wav_seconds(b"RIFF\0\0\0\0WAVEfmt ", 1000) is None
    with wave.open(io.BytesIO(file)) as read:
        assert duration.wav_seconds(file, len(file)) == D(read.getnframes()) / read.getframerate()


def test_seconds_are_the_shortest_decimal(spans) -> None:
    """A double that reads back as the number that was counted."""
    call = open_call(spans.tracer, CallRequest(operation="speech_to_text", provider="acme"))
    call.add(names.AUDIO_INPUT_SECONDS, 0.1)
    call.add(names.AUDIO_INPUT_SECONDS, 0.2)
    call.end()
    assert str(spans.only[names.AUDIO_INPUT_SECONDS]) == "0.3"
