"""What stands in a task in place of a medium that a row lacks.

Label Studio refuses a task without a field that its configuration names (400, ``"photo" key is expected in task
data``), takes an empty one, and then shows a broken player. A tiny medium as a ``data:`` URI is shown as it is.
"""

from __future__ import annotations

import base64
import io
import wave
from html import escape

__all__ = ["placeholder"]

_WEBM = (  # two gray frames, VP8
    "GkXfo59ChoEBQveBAULygQRC84EIQoKEd2VibUKHgQJChYECGFOAZwEAAAAAAAHVEU2bdLpNu4tTq4QVSalmU6yBoU27i1OrhBZUrmtTrIHYTbuM"
    "U6uEElTDZ1OsggEbTbuMU6uEHFO7a1OsggG/7AEAAAAAAABZAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAVSalmsirXsYMPQkBNgI1MYXZmNjIuMTIuMTAyV0GNTGF2ZjYyLjEyLjEwMkSJiECP"
    "QAAAAAAAFlSua76uAQAAAAAAADXXgQFzxYjgh24qjcgObJyBACK1nIN1bmSIgQCGhVZfVlA4g4EBI+ODhB3NZQDghrCBQLqBIBJUw2fYc3OgY8CA"
    "Z8iaRaOHRU5DT0RFUkSHjUxhdmY2Mi4xMi4xMDJzc7JjwItjxYjgh24qjcgObGfIoUWjiERVUkFUSU9ORIeTMDA6MDA6MDEuMDAwMDAwMDAwAB9D"
    "tnXC54EAo6aBAACAcAIAnQEqQAAgAABHCIWFiIWEiAICAAbQePxGiYD+/n4IAKOVgQH0ALEBAAUQrAAYABhYL/QACIQAHFO7a5G7j7OBALeK94EB"
    "8YIBePCBAw=="
)


def placeholder(name: str, kind: str) -> str:
    """Value of a field that a row lacks: it says so, and it is never empty.

    Examples
    --------
    >>> placeholder("caption", "text")
    '(no caption for this row)'
    >>> placeholder("photo", "image")[:26]
    'data:image/svg+xml;base64,'
    """
    if kind == "image":
        note = escape(f"no {name} for this row")
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" width="480" height="120">'
            '<rect width="100%" height="100%" fill="#eeeeee"/>'
            f'<text x="240" y="66" text-anchor="middle" font-family="sans-serif" font-size="20">{note}</text></svg>'
        )
        return _uri("image/svg+xml", svg.encode())
    if kind == "audio":
        return _uri("audio/wav", _silence())
    if kind == "video":
        return f"data:video/webm;base64,{_WEBM}"
    return f"(no {name} for this row)"


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _silence() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8000)
        sound.writeframes(b"\x80" * 800)
    return file.getvalue()
