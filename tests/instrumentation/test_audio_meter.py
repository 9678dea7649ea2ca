"""Seconds of encoded audio: real files, cut, joined, damaged and in pieces of any size."""

import random
from decimal import Decimal as D
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callfare.audio.frames import AacReader, Mp3Reader, reader_for
from callfare.audio.meter import AudioMeter

FILES = Path(__file__).parents[1] / "fixtures" / "audio"
SPOKEN_SECONDS = D("0.6")
PADDING_SECONDS_MAX = D("0.09")
EXACT = ["speech.opus", "speech.ogg", "tone.flac"]
PADDED = ["constant.mp3", "padded.mp3", "variable-tagged.mp3", "adts.aac"]


def content(name: str) -> bytes:
    return (FILES / name).read_bytes()


def measured(data: bytes, piece_bytes: int = 1 << 16) -> D | None:
    meter = AudioMeter()
    for start in range(0, len(data), piece_bytes):
        meter.feed(data[start : start + piece_bytes])
    return meter.seconds()


@pytest.mark.parametrize("name", EXACT)
def test_formats_that_state_positions_are_exact(name: str) -> None:
    """Ogg and FLAC know to the sample where the sound ends."""
    assert measured(content(name)) == SPOKEN_SECONDS


@pytest.mark.parametrize("name", PADDED)
def test_formats_of_frames_are_as_long_as_their_frames(name: str) -> None:
    """MP3 and AAC have whole frames: what the encoder adds counts, and it is not much."""
    seconds = measured(content(name))
    assert seconds is not None
    assert SPOKEN_SECONDS <= seconds <= SPOKEN_SECONDS + PADDING_SECONDS_MAX


def test_an_mp3_is_its_frames_without_the_one_that_tells_of_the_file() -> None:
    """27 frames of 24 ms; the table in front of them is as long as one and silent."""
    assert measured(content("constant.mp3")) == 27 * D(576) / 24_000
    assert content("constant.mp3").count(b"Info") == 1


@given(name=st.sampled_from(EXACT + PADDED), cuts=st.lists(st.integers(1, 7_000), max_size=20))
def test_pieces_of_any_size_measure_the_same(name: str, cuts: list[int]) -> None:
    """Wherever the network cuts, the length is that of the whole."""
    data, meter = content(name), AudioMeter()
    borders = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    for start, end in pairwise(borders):
        meter.feed(data[start:end])
    assert meter.seconds() == measured(data) == measured(data, 1)


@given(name=st.sampled_from(EXACT + PADDED), share=st.floats(0.3, 1))
def test_a_file_that_is_cut_off_is_as_long_as_what_came(name: str, share: float) -> None:
    """A stream that was left early: never longer than the whole, and about as long as its bytes."""
    data = content(name)
    whole, part = measured(data), measured(data[: int(len(data) * share)])
    assert whole is not None
    assert part is None or part <= whole


@pytest.mark.parametrize("name", ["constant.mp3", "variable-tagged.mp3", "speech.opus", "speech.ogg"])
def test_files_joined_are_as_long_as_both(name: str) -> None:
    """Pieces of speech put one behind the other, tags and all, as applications do."""
    once, twice = measured(content(name)), measured(content(name) * 2)
    assert once is not None
    assert twice is not None
    # The second file's table is a frame like any other.
    assert 2 * once <= twice <= 2 * once + D(1152) / 24_000


def test_a_flac_stream_that_does_not_know_its_length_is_measured_by_its_last_frame() -> None:
    """An encoder that streams leaves the number of samples zero."""
    data = bytearray(content("tone.flac"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    assert measured(bytes(data)) == SPOKEN_SECONDS


def test_damage_makes_the_length_unknown() -> None:
    """A frame that does not follow right behind the other: no figure, rather than one that looks right."""
    for name in ("constant.mp3", "adts.aac"):
        data = content(name)
        middle = len(data) // 2
        assert measured(data[:middle] + b"?" * 99 + data[middle:]) is None
    opus = content("speech.opus")
    last_page = opus.rindex(b"OggS")
    assert measured(opus[:last_page] + b"?" + opus[last_page:]) is None


def test_tags_of_every_kind_are_stepped_over() -> None:
    """ID3 with a footer before the sound; an APE tag behind it, whatever is in it."""
    sound = content("constant.mp3")
    footed = b"ID3\x04\x00\x10\x00\x00\x02\x01" + bytes(257) + b"3DI\x04\x00\x10\x00\x00\x02\x01"
    assert measured(footed + sound) == measured(sound + b"APETAGEX" + b"\xff" * 99) == measured(sound)


def test_two_streams_side_by_side_are_not_measured() -> None:
    """A film's sound and another: their lengths do not add up."""
    opus, vorbis = content("speech.opus"), content("speech.ogg")
    second_page = opus.index(b"OggS", 1)
    assert measured(opus[:second_page] + vorbis[: vorbis.index(b"OggS", 1)] + opus[second_page:]) is None


def test_a_recording_from_the_middle_of_a_broadcast_is_not_measured() -> None:
    """Its positions count from a beginning that nobody has."""
    data = bytearray(content("speech.opus"))
    sound_at = data.index(b"OggS", data.index(b"OggS", 1) + 1)
    data[sound_at + 6 : sound_at + 14] = (10**9).to_bytes(8, "little")
    assert measured(bytes(data)) is None


@pytest.mark.parametrize(
    "data", [b"", b"RIFF", b"\x1aE\xdf\xa3webm", b"\0\0\0\x1cftypM4A ", bytes(5_000), b"fLaC", b"OggS"]
)
def test_other_bytes_have_no_length(data: bytes) -> None:
    """MP4, WebM, silence without a header, and beginnings without more."""
    assert measured(data) is None
    assert measured(data, 1) is None


def test_ogg_of_an_unknown_codec_has_no_length() -> None:
    """Speex and film."""
    assert measured(content("speech.opus").replace(b"OpusHead", b"Speex   ")) is None


@pytest.mark.parametrize(
    "start",
    [b"\xff\xfb\x90\x00", b"\xff\xf1\x50\x80\x10\x1f\xfc", b"ID3\x04\0\0\0\0\0\0", b"fLaC\0\0\0\x22", b"OggS", b""],
)
def test_noise_has_no_length(start: bytes) -> None:
    """However it begins."""
    noise = random.Random(5)
    for _ in range(50):
        assert measured(start + noise.randbytes(3_000)) is None


def test_wav_is_measured_by_its_header(wav) -> None:
    """In pieces as well, and no longer than the bytes that came."""
    data = wav(0.5)
    assert measured(data) == measured(data, 7) == D("0.5")
    assert measured(data[: 44 + 3_200], 1_000) == D("0.1")


def test_raw_samples_are_the_callers_to_measure() -> None:
    """They say nothing of themselves, and are counted all the same."""
    meter = AudioMeter()
    for _ in range(4):
        meter.feed(bytes(12_000))
    assert (meter.seconds(), meter.is_of_known_kind, meter.raw_seconds(48_000)) == (None, False, D(1))


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xff\xfb\x90\x64", Mp3Reader),  # MPEG 1, 128 kbit/s
        (b"\xff\xf3\x84\xc4", Mp3Reader),  # MPEG 2
        (b"\xff\xe3\x18\xc4", Mp3Reader),  # MPEG 2.5
        (b"\xff\xf1\x58\x40\x36\x5f\xfc", AacReader),
        (b"\xff\xfb\x00\x64", None),  # "free" bit rate: the header does not tell the length
        (b"\xff\xfb\xf0\x64", None),
        (b"\xff\xfb\x9c\x64", None),  # reserved rate
        (b"\xff\xeb\x90\x64", None),  # reserved version
        (b"\xff\xfd\x90\x64", None),  # layer II
        (b"\xff\xf1\x7c\x40\x36\x5f\xfc", None),  # reserved rate
        (b"\xff\xf1\x58\x40\x00\x5f\xfc", None),  # shorter than its header
    ],
)  # fmt: skip
def test_kinds_are_told_by_their_first_bytes(head: bytes, kind: type | None) -> None:
    """Whatever a content type says."""
    reader = reader_for(head)
    assert reader is None if kind is None else type(reader) is kind
