"""Sound: one mono signal from every container, its whole length, and a word about what is missing."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile

from skmmal.featurize import decode
from skmmal.featurize._notes import Notes

from .media import write_sound

RATE = 16000
SECONDS = 2.0
TIMES = np.arange(int(RATE * SECONDS)) / RATE
LEFT = 0.5 * np.sin(2 * np.pi * 440 * TIMES)
STEREO = np.stack([LEFT, 0.4 * LEFT], axis=1)
SIX = np.stack([LEFT, *[0 * LEFT] * 5], axis=1)


def heard(path):
    notes = Notes()
    samples, rate = decode.sound(path, notes)
    return samples, rate, notes.remarks


def wav(path, samples=STEREO, subtype="PCM_16"):
    soundfile.write(path, samples, RATE, format="WAV", subtype=subtype)
    return path


LOSSLESS = [("m4a", "alac"), ("mkv", "pcm_s16le"), ("mkv", "flac"), ("mov", "pcm_s24le"), ("avi", "pcm_u8")]
LOSSY = [("m4a", "aac"), ("wma", "wmav2"), ("mka", "libopus"), ("ac3", "ac3"), ("mp3", "libmp3lame"), ("ts", "mp2")]


@pytest.mark.parametrize(("suffix", "codec"), LOSSLESS + LOSSY)
def test_every_container_gives_the_mean_of_the_channels(suffix, codec, tmp_path):
    rate = 48000 if (suffix, codec) in LOSSY else RATE
    times = np.arange(int(rate * SECONDS)) / rate
    left = 0.5 * np.sin(2 * np.pi * 440 * times)
    write_sound(tmp_path / f"x.{suffix}", np.stack([left, 0.4 * left], axis=1), rate, codec=codec)
    samples, found, remarks = heard(tmp_path / f"x.{suffix}")
    assert (found, remarks) == (rate, {})
    middle = samples[rate // 2 : -rate // 2]
    np.testing.assert_allclose(np.abs(middle).max(), 0.35, atol=0.04)
    np.testing.assert_allclose(np.sqrt(np.mean(middle**2)), 0.35 / np.sqrt(2), rtol=0.03)
    assert abs(len(samples) / rate - SECONDS) < 0.15
    if (suffix, codec) in LOSSLESS:
        np.testing.assert_allclose(samples, 0.7 * left, atol=1 / 100 if codec == "pcm_u8" else 1e-4)


@pytest.mark.parametrize(("suffix", "codec"), [("wav", None), ("mka", "pcm_s16le"), ("m4a", "aac"), ("ac3", "ac3")])
def test_six_channels_are_their_mean(suffix, codec, tmp_path):
    path = tmp_path / f"six.{suffix}"
    if codec is None:
        wav(path, SIX)
    else:
        write_sound(path, np.repeat(SIX, 3, axis=0), 48000, codec=codec, layout="5.1")
    samples, rate, _ = heard(path)
    assert abs(np.abs(samples[rate // 2 : -rate // 2]).max() - 0.5 / 6) < 0.01


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW", "IMA_ADPCM"])
def test_sample_formats_of_a_wav(subtype, tmp_path):
    samples, _, remarks = heard(wav(tmp_path / "x.wav", subtype=subtype))
    coarse = {"PCM_U8": 1e-2, "ALAW": 2e-2, "ULAW": 2e-2, "IMA_ADPCM": 3e-2}
    begun = slice(64, len(LEFT))  # ADPCM has to find its step first
    np.testing.assert_allclose(samples[begun], 0.7 * LEFT[begun], atol=coarse.get(subtype, 1e-4))
    assert remarks == {}


@pytest.mark.parametrize(
    "codec", ["pcm_u8", "pcm_s16be", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le", "pcm_alaw", "pcm_mulaw"]
)
def test_sample_formats_of_a_track(codec, tmp_path):
    path = tmp_path / ("x.mov" if codec in ("pcm_s16be", "pcm_alaw", "pcm_mulaw") else "x.mkv")
    write_sound(path, STEREO, codec=codec)
    atol = 3e-2 if codec in ("pcm_alaw", "pcm_mulaw", "pcm_u8") else 1e-4
    np.testing.assert_allclose(heard(path)[0], 0.7 * LEFT, atol=atol)


@pytest.mark.parametrize("xing", ["0", "1"])
def test_an_mp3_of_variable_rate_is_read_to_its_end(xing, tmp_path):
    """A quiet beginning makes a guess from the first frames several times too short or too long."""
    rng = np.random.default_rng(0)
    samples = np.concatenate([0.1 * STEREO, rng.normal(size=(len(LEFT) * 4, 2)) * 0.2])
    write_sound(tmp_path / "x.mp3", samples, codec="libmp3lame", write_xing=xing)
    found, rate, remarks = heard(tmp_path / "x.mp3")
    assert abs(len(found) / rate - 5 * SECONDS) < 0.2
    assert remarks == {}


def test_a_header_of_unknown_length_is_no_end(tmp_path):
    data = bytearray(wav(tmp_path / "x.wav").read_bytes())
    place = data.index(b"data")
    for size in (0xFFFFFFFF, 0x7FFFFFFF + 1):
        data[4:8] = data[place + 4 : place + 8] = struct.pack("<I", size)
        (tmp_path / "pipe.wav").write_bytes(data)
        samples, _, remarks = heard(tmp_path / "pipe.wav")
        assert (len(samples), remarks) == (len(LEFT), {})
    for suffix, codec in (("flac", "flac"), ("mkv", "pcm_s16le")):
        write_sound(tmp_path / "x", STEREO, codec=codec, format={"mkv": "matroska"}.get(suffix, suffix), pipe=True)
        samples, _, remarks = heard(tmp_path / "x")
        assert (len(samples), remarks) == (len(LEFT), {}), suffix


def test_streams_that_follow_each_other_are_all_read(tmp_path):
    soundfile.write(tmp_path / "x.ogg", STEREO, RATE)
    (tmp_path / "two.ogg").write_bytes((tmp_path / "x.ogg").read_bytes() * 2)
    assert abs(len(heard(tmp_path / "two.ogg")[0]) - 2 * len(LEFT)) < RATE // 10


def test_names_may_lie(tmp_path):
    for name in ("x.mp3", "x.raw", "12:30.flac", "no suffix"):
        np.testing.assert_allclose(heard(wav(tmp_path / name))[0], 0.7 * LEFT, atol=1e-4)
    write_sound(tmp_path / "x.wav", STEREO, codec="alac", format="ipod")
    np.testing.assert_allclose(heard(tmp_path / "x.wav")[0], 0.7 * LEFT, atol=1e-4)
    np.testing.assert_array_equal(
        heard(io.BytesIO((tmp_path / "x.wav").read_bytes()))[0], heard(tmp_path / "x.wav")[0]
    )


def cut(path, share=0.6):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.parametrize("kind", ["wav", "wav24", "aiff", "au", "ogg", "mp3", "m4a", "mka", "wma", "avi", "caf"])
def test_a_recording_that_is_cut_short_is_noted(kind, tmp_path):
    path = tmp_path / f"x.{kind[:3].rstrip('24')}"
    if kind in ("aiff", "au", "ogg", "caf"):
        path = tmp_path / f"x.{kind}"
        soundfile.write(path, np.random.default_rng(0).normal(size=(5 * RATE, 2)) * 0.1, RATE)
    elif kind.startswith("wav"):
        wav(path, subtype="PCM_24" if kind == "wav24" else "PCM_16")
    else:
        codec = {"mp3": "libmp3lame", "m4a": "aac", "mka": "pcm_s16le", "wma": "wmav2", "avi": "pcm_s16le"}[kind]
        write_sound(path, np.repeat(STEREO, 3, axis=0), 48000, codec=codec, movflags="+faststart")
    whole, _, remarks = heard(path)
    assert remarks == {}
    part, _, remarks = heard(cut(path))
    assert 0.2 < len(part) / len(whole) < 0.8
    assert set(remarks) & {"truncated", "damaged"}
    assert not set(remarks) - {"truncated", "damaged"}


def test_a_flac_that_is_cut_short_fails(tmp_path):
    soundfile.write(tmp_path / "x.flac", np.random.default_rng(0).normal(size=(RATE, 2)) * 0.1, RATE)
    with pytest.raises(ValueError, match="damaged sound file: nothing can be decoded after"):
        decode.sound(cut(tmp_path / "x.flac"))


def test_what_is_no_sound_says_what_it_is(tmp_path):
    data = wav(tmp_path / "x.wav").read_bytes()
    place = data.index(b"data")
    cases = {
        "unfinished": (data[: place + 4] + struct.pack("<I", 0) + data[place + 8 :], "header says that it holds none"),
        "header": (data[: place + 8], "the file ends after its header"),
        "tag": (b"ID3\x03\0\0\0\0\0\x16TIT2\0\0\0\x0c\0\0\0hello world", "a tag .ID3., and no sound"),
        "page": (b"<!DOCTYPE html><html><body>404</body></html>", "an HTML page"),
        "zeros": (bytes(5000), "nothing but zero bytes"),
        "text": (b"there is no sound in this file\n" * 20, "a text"),
        "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "a git-lfs pointer"),
        "noise": (np.random.default_rng(0).bytes(3000), "format that is not known, or damaged|no samples|no audio"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / f"{name}.mp3").write_bytes(content)
        with pytest.raises(ValueError, match=message) as caught:
            decode.sound(tmp_path / f"{name}.mp3")
        assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(("rate", "target"), [(44100, 16000), (8000, 16000), (11025, 16000), (16001, 16000), (16000, 16000)])
def test_windows_are_those_of_the_whole_whatever_is_held(rate, target, monkeypatch):
    monkeypatch.setattr("skmmal.featurize.decode._recordings.PIECE_SECONDS", 1)
    monkeypatch.setattr("skmmal.featurize.decode._recordings.BLOCK", 3001)
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(0).normal(size=(int(rate * 7.3), 2)) * 0.1, rate, format="WAV")
    whole = decode.resample(*decode.sound(file), target)
    size, minimum = target // 2, target // 4
    expected = [whole[part] for part in decode.windows(len(whole), size, minimum)]
    for first in (0, 1, 9, len(expected)):
        found = list(decode.sound_windows(file, target, size, minimum, None, first))
        assert len(found) == len(expected) - first
        for one, other in zip(found, expected[first:], strict=True):
            np.testing.assert_array_equal(one, other)
