"""Videos: frames at the asked times, upright, whatever the container, its key frames and its clock."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from skmmal.featurize import decode
from skmmal.featurize._notes import Notes

from .media import cover_tag, level, levels_of, write_levels, write_sound

MIDDLE = [level(5 * second) for second in range(15, 25)]
"""Ten seconds around the middle of 40 s, at 5 frames per second."""

KINDS = {
    "all keys.mp4": {"g": 1},
    "one key.mp4": {"g": 1000, "bf": 3},
    "one key.mkv": {"g": 1000, "bf": 3},
    "one key.ts": {"g": 1000, "bf": 0},
    "one key reordered.ts": {"g": 1000, "bf": 3},
    "key every 10 s.ts": {"g": 50, "bf": 2, "sc_threshold": 0},
    "open groups.ts": {"g": 40, "bf": 3, "sc_threshold": 0, "x264-params": "open-gop=1"},
    "open groups.mp4": {"g": 40, "bf": 3, "sc_threshold": 0, "x264-params": "open-gop=1"},
    "refreshed.ts": {"g": 30, "x264-params": "intra-refresh=1"},
    "offset.ts": {"g": 1000, "offset": 1000},
    "offset.mkv": {"g": 30, "offset": 500},
    "reordered.avi": {"g": 1000, "bf": 3},
    "vp9.webm": {"codec": "libvpx-vp9", "deadline": "realtime", "g": 1000},
    "mpeg2.ts": {"codec": "mpeg2video", "g": 60, "bf": 2, "rate": 25},
    "mpeg2.mpg": {"codec": "mpeg2video", "g": 60, "bf": 2, "rate": 25, "qmax": 2},
    "mpeg4.avi": {"codec": "mpeg4", "g": 100},
    "no duration.webm": {"codec": "libvpx", "g": 40, "pipe": True, "format": "webm"},
    "no duration.mkv": {"g": 40, "bf": 3, "pipe": True, "format": "matroska"},
    "fragments.mp4": {"g": 40, "bf": 0, "options": {"movflags": "frag_keyframe+empty_moov"}},
    "raw.h264": {"g": 1000, "bf": 3},
}


@pytest.mark.parametrize("name", KINDS)
def test_frames_are_those_at_the_asked_times(name, tmp_path):
    options = dict(KINDS[name])
    rate = options.pop("rate", 5)
    write_levels(tmp_path / name, 40 * rate, rate=rate, **options)
    notes = Notes()
    found = levels_of(decode.frames(tmp_path / name, 10, 1.0, notes))
    expected = [level(rate * second) for second in range(15, 25)]
    np.testing.assert_allclose(found, expected, atol=4)
    assert notes == {}
    data = io.BytesIO((tmp_path / name).read_bytes())
    if name.endswith((".mp4", ".mkv", ".ts")):
        np.testing.assert_array_equal(levels_of(decode.frames(data, 10, 1.0)), found)


def test_a_duration_that_lies_is_not_believed(tmp_path):
    write_levels(tmp_path / "x.mkv", g=30)
    data = bytearray((tmp_path / "x.mkv").read_bytes())
    place = data.index(b"\x44\x89\x88") + 3
    assert struct.unpack(">d", data[place : place + 8]) == (40000.0,)
    for seconds, noted in ((10, False), (39, False), (400, True)):
        data[place : place + 8] = struct.pack(">d", 1000.0 * seconds)
        (tmp_path / "x.mkv").write_bytes(data)
        found = levels_of(decode.frames(tmp_path / "x.mkv", 10, 1.0, notes := Notes()))
        np.testing.assert_allclose(found, MIDDLE, atol=4)
        assert ("truncated" in notes) == noted


def test_a_longer_sound_track_does_not_move_the_middle(tmp_path):
    write_levels(tmp_path / "both.mkv", g=40, silence=90)
    np.testing.assert_allclose(levels_of(decode.frames(tmp_path / "both.mkv", 10, 1.0)), MIDDLE, atol=4)


TURNS = {
    (1, 0, 0, 1): lambda x: x,
    (0, 1, -1, 0): lambda x: np.rot90(x, -1),
    (-1, 0, 0, -1): lambda x: np.rot90(x, 2),
    (0, -1, 1, 0): lambda x: np.rot90(x, 1),
    (-1, 0, 0, 1): lambda x: x[:, ::-1],
    (1, 0, 0, -1): lambda x: x[::-1],
    (0, 1, 1, 0): lambda x: x.transpose(1, 0, 2),
    (0, -1, -1, 0): lambda x: np.rot90(x, 2).transpose(1, 0, 2),
}


@pytest.mark.parametrize("matrix", TURNS, ids=str)
def test_the_display_matrix_is_obeyed(matrix, tmp_path):
    """Where the matrix sends the corner, as MP4 defines it: a clip turned clockwise by 90 degrees is (0 1 -1 0)."""
    write_levels(tmp_path / "x.mp4", 10)
    (plain,) = decode.frames(tmp_path / "x.mp4", 1, 1.0)
    data = bytearray((tmp_path / "x.mp4").read_bytes())
    a, b, c, d = matrix
    place = data.index(b"tkhd") + 44
    data[place : place + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    (tmp_path / "x.mp4").write_bytes(data)
    (turned,) = decode.frames(tmp_path / "x.mp4", 1, 1.0)
    np.testing.assert_array_equal(turned, TURNS[matrix](plain))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("x.mp4", {"options": {"movflags": "+faststart"}}),
        ("fragments.mp4", {"options": {"movflags": "frag_keyframe+empty_moov"}}),
        ("x.mkv", {}),
        ("x.avi", {"codec": "mpeg4"}),
        ("x.wmv", {"codec": "wmv2"}),
        ("x.flv", {"codec": "flv1"}),
    ],
)
def test_a_video_that_is_cut_short_is_noted(name, options, tmp_path):
    path = tmp_path / name
    write_levels(path, 200, g=20, **options)
    decode.frames(path, 3, 1.0, notes := Notes())
    assert notes == {}
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    found = levels_of(decode.frames(path, 3, 1.0, notes := Notes()))
    assert list(notes.remarks) == ["truncated"]
    assert len(set(found)) == 3  # of what is there, not one frame again and again


def test_what_has_no_frames_fails(tmp_path):
    write_levels(tmp_path / "x.mp4", 200, options={"movflags": "+faststart"})
    data = (tmp_path / "x.mp4").read_bytes()
    (tmp_path / "index only.mp4").write_bytes(data[: data.index(b"mdat") + 10])
    write_levels(tmp_path / "y.mp4", 200)
    (tmp_path / "no index.mp4").write_bytes((tmp_path / "y.mp4").read_bytes()[:3000])
    cover = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(cover, "PNG")
    write_sound(tmp_path / "s.mp3", np.zeros((16000, 1)), codec="libmp3lame", layout="mono")
    (tmp_path / "cover.mp3").write_bytes(cover_tag(cover.getvalue()) + (tmp_path / "s.mp3").read_bytes())
    (tmp_path / "text.mp4").write_text("no video at all\n" * 50)
    (tmp_path / "folder").mkdir()
    cases = {
        "index only.mp4": "no frames in it: nothing of the video track",
        "no index.mp4": "index is missing",
        "cover.mp3": "no video track .a cover picture is none",
        "s.mp3": "no video track",
        "text.mp4": "a text",
        "folder": "holds no images",
    }
    for name, message in cases.items():
        with pytest.raises(ValueError, match=message) as caught:
            decode.frames(tmp_path / name, 3, 1.0)
        assert str(tmp_path) not in str(caught.value)


def test_a_folder_of_frames(tmp_path):
    for k in (1, 2, 10):
        Image.new("RGB", (8, 8), (20 * k, 0, 0)).save(tmp_path / f"f_{k}.png")
    for name in ("._f_1.png", ".DS_Store", ".hidden.jpg", "Thumbs.db", "notes.txt"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7 no image")
    assert [int(frame[0, 0, 0]) for frame in decode.frames(tmp_path, 3, 1.0)] == [20, 40, 200]
    (tmp_path / "f_3.png").write_bytes((tmp_path / "f_1.png").read_bytes()[:40])
    with pytest.raises(ValueError, match=r"frame f_3.png: "):
        decode.frames(tmp_path, 4, 1.0)
