"""The page's server: on this machine only, for one browser, on the standard library."""

from __future__ import annotations

import hmac
import json
import os
import secrets
import socketserver
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO
from urllib.parse import parse_qs, urlsplit

import pandas as pd

from skmmal._arrays import integer
from skmmal._paths import local_path
from skmmal.campaign._campaign import LabelingCampaign
from skmmal.campaign._stamp import user_name
from skmmal.campaign.page._media import Media, byte_range
from skmmal.campaign.page._session import AnsweredElsewhereError, Session

__all__ = ["LabelingPage"]

ADDRESS = "127.0.0.1"
LONGEST_BODY = 65_536
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' data:; "
    "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FILE_POLICY = "default-src 'none'; sandbox"
"""A picture in SVG may hold a script; opened by itself it must not run."""
_NO_ENTRY = "This page is for the browser that opened its address first. For a new address start the command again.\n"


class LabelingPage:
    """A labelling page on this machine, for one browser.

    The page listens on 127.0.0.1. Its address holds a token that can be used once: the browser that uses it gets a
    cookie, and nobody else gets in. It shows the media of the rows that were handed out and not answered since, and
    every answer is an entry in the campaign's log before the next row is shown: whatever is killed, no answer is lost.

    Parameters
    ----------
    campaign : LabelingCampaign
        What is labelled.
    data : DataFrame
        Indexed by id, a column for each field (see `skmmal.campaign.read_data`).
    fields : mapping of str to str
        Column of `data` to its kind: image, text, audio or video. Images, sound and videos are names of files.
    root : path-like
        Folder of the files. Nothing outside it is read, not by ``..`` and not by a symbolic link.
    annotator : str, optional
        Whose answers they are. Default: the user.
    port : int, default=0
        0 takes one that is free.
    predictions : {"strategy", "all", "none"}, default="strategy"
        Rows whose prediction is suggested. A suggestion in sight is often accepted: on the rows that were drawn at
        random it would bias the accuracy that is measured on them.
    n_instances : int, optional
        Rows of the batches that are asked for on the page. Default: the campaign's.
    allow_new_classes : bool, default=False
        Let the annotator name classes that the campaign does not have. Where it has none, that is always so.

    Attributes
    ----------
    url : str
        Address to open, with the token.
    port : int
        Where it listens.

    Raises
    ------
    ValueError
        No field, a URL in place of a file's name, or a word that is not known.
    FileNotFoundError
        `root` is no folder.
    OSError
        The port is in use.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from skmmal.campaign import LabelingCampaign
    >>> from skmmal.campaign.page import LabelingPage
    >>> from skmmal.datasets import load_emoji
    >>> emoji = load_emoji()
    >>> folder = tempfile.TemporaryDirectory()
    >>> campaign = LabelingCampaign.create(folder.name + "/emoji", emoji.data, ids=emoji.codepoints, classes=["a", "b"])
    >>> names = pd.DataFrame({"name": emoji.names}, index=emoji.codepoints)
    >>> with LabelingPage(campaign, names, {"name": "text"}, root=folder.name) as page:
    ...     page.url.startswith("http://127.0.0.1:")
    True
    >>> folder.cleanup()
    """

    def __init__(
        self,
        campaign: LabelingCampaign,
        data: pd.DataFrame,
        fields: Mapping[str, str],
        *,
        root: str | os.PathLike[str],
        annotator: str | None = None,
        port: int = 0,
        predictions: str = "strategy",
        n_instances: int | None = None,
        allow_new_classes: bool = False,
    ) -> None:
        media = Media(data, dict(fields), local_path(root, "root"))
        session = Session(
            campaign,
            media,
            annotator or user_name(),
            predictions=predictions,
            n_instances=n_instances,
            allow_new_classes=allow_new_classes,
        )
        self._server = _Server(integer(port, "port", 0), session)
        self._thread: threading.Thread | None = None
        self.port = int(self._server.server_address[1])
        self.url = f"http://{ADDRESS}:{self.port}/?token={self._server.token}"

    def absent(self) -> dict[str, int]:
        """How many of the waiting rows lack each field, or have a file that cannot be shown.

        Returns
        -------
        dict of str to int
            Only fields that some row lacks.
        """
        session = self._server.session
        return session.media.absent(list(session.campaign.state().waiting))

    def serve(self) -> None:
        """Answer the browser until `close` is called, or the process is interrupted."""
        self._server.serve_forever(poll_interval=0.1)

    def close(self) -> None:
        """Stop, and free the port."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()

    def __enter__(self) -> LabelingPage:
        """Serve in a thread."""
        self._thread = threading.Thread(target=self.serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.close()


class _Server(ThreadingHTTPServer):
    """Listens on this machine, and knows the secrets."""

    daemon_threads = True

    def __init__(self, port: int, session: Session) -> None:
        self.session = session
        self.token: str | None = secrets.token_urlsafe(24)
        self.cookie = secrets.token_urlsafe(24)
        self._entering = threading.Lock()
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            raise OSError(f"port {port} cannot be used ({error.strerror}); give another, or 0 for a free one") from None

    def server_bind(self) -> None:
        """Bind without asking a name server who we are, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = ADDRESS, int(self.server_address[1])

    @property
    def cookie_name(self) -> str:
        """Of this port: browsers send cookies of one port to all of them."""
        return f"skmmal_{self.server_port}"

    def use_token(self, given: str) -> bool:
        """Whether it is the token, which nobody can use again."""
        with self._entering:
            if self.token is None or not _same(given, self.token):
                return False
            self.token = None
            return True


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


class _Refusal(Exception):
    """An answer that is no success."""

    def __init__(self, status: HTTPStatus, text: str, view: dict[str, Any] | None = None) -> None:
        super().__init__(text)
        self.status, self.text, self.view = status, text, view


class _Speaking(BaseHTTPRequestHandler):
    """How a request is read, and how answers are sent."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "skmmal", ""
    timeout = 60

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the log of the campaign is the record."""

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != "application/json" or not length.isdecimal():
            raise _Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "A request that changes something is JSON.\n")
        if int(length) > LONGEST_BODY:
            raise _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is too long.\n")
        try:
            content = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            raise _Refusal(HTTPStatus.BAD_REQUEST, "The request is no JSON.\n") from None
        if not isinstance(content, dict):
            raise _Refusal(HTTPStatus.BAD_REQUEST, "The request is no object.\n")
        return content

    def _refuse(self, refusal: _Refusal) -> None:
        self.close_connection = True  # its body may not have been read
        content = {"error": refusal.text.strip()} | ({"view": refusal.view} if refusal.view else {})
        if self.command == "POST":
            self._send_json(refusal.status, content)
        else:
            self._send(refusal.status, "text/plain; charset=utf-8", refusal.text.encode())

    def _send_json(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(content, allow_nan=False).encode())

    def _send(self, status: HTTPStatus, kind: str, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        self._begin(status, {"Content-Type": kind, "Cache-Control": "no-store", **(headers or {})}, len(content))
        if self.command != "HEAD":
            self.wfile.write(content)

    def _begin(self, status: HTTPStatus, headers: Mapping[str, str], length: int) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, **headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _send_file(self, file: BinaryIO, path: Path, kind: str) -> None:
        size = os.fstat(file.fileno()).st_size
        headers = {"Content-Type": kind, "Accept-Ranges": "bytes", "Cache-Control": "private, max-age=600"}
        try:
            part = byte_range(self.headers.get("Range"), size)
        except ValueError:
            self._begin(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {"Content-Range": f"bytes */{size}"}, 0)
            return
        first, end = part or (0, size)
        if part is not None:
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
        headers["Content-Security-Policy"] = _FILE_POLICY
        self._begin(HTTPStatus.OK if part is None else HTTPStatus.PARTIAL_CONTENT, headers, end - first)
        if self.command == "HEAD":
            return
        file.seek(first)
        left = end - first
        while left and (block := file.read(min(left, 262_144))):
            self.wfile.write(block)
            left -= len(block)
        self.close_connection = left > 0  # the file has shrunk; what was promised cannot be sent


class _Handler(_Speaking):
    """One request: from here, from the browser that came first, and from the page itself if it changes something."""

    server: _Server

    def do_GET(self) -> None:
        """The page, what it shows, and files."""
        self._respond({"/": self._page, "/view": self._view, "/media": self._media})

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Answers."""
        self._respond({"/answer": self._answer, "/undo": self._undo, "/next": self._next}, writes=True)

    # ---------------------------------------------------------------------------------------------------- who may

    def _respond(self, routes: Mapping[str, Any], writes: bool = False) -> None:
        try:
            url = urlsplit(self.path)
            here = {f"{ADDRESS}:{self.server.server_port}", f"localhost:{self.server.server_port}"}
            if self.headers.get_all("Host", []) not in [[name] for name in here]:
                raise _Refusal(HTTPStatus.MISDIRECTED_REQUEST, "This server answers to its own address only.\n")
            self.query = {name: values[0] for name, values in parse_qs(url.query).items()}
            if url.path == "/" and "token" in self.query and not writes:
                self._enter(self.query["token"])
                return
            if not self._is_known():
                raise _Refusal(HTTPStatus.FORBIDDEN, _NO_ENTRY)
            if writes and self.headers.get("Origin") != f"http://{self.headers['Host']}":
                raise _Refusal(HTTPStatus.FORBIDDEN, "Only the page itself may change something.\n")
            if url.path not in routes:
                raise _Refusal(HTTPStatus.NOT_FOUND, "There is no such page.\n")
            routes[url.path]()
        except _Refusal as refusal:
            self._refuse(refusal)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception:  # ours to mend; the browser is not told what it was, the terminal is
            self._refuse(_Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong; see the terminal.\n"))
            raise

    def _is_known(self) -> bool:
        try:
            cookies = SimpleCookie(self.headers.get("Cookie", ""))
        except CookieError:
            return False
        given = cookies.get(self.server.cookie_name)
        return given is not None and _same(given.value, self.server.cookie)

    def _enter(self, token: str) -> None:
        """Exchange the token for a cookie; who has the cookie already may come back by the same address."""
        is_known = self._is_known()
        if not is_known and not self.server.use_token(token):
            raise _Refusal(HTTPStatus.FORBIDDEN, _NO_ENTRY)
        headers = {"Location": "/"}
        if not is_known:
            headers["Set-Cookie"] = f"{self.server.cookie_name}={self.server.cookie}; Path=/; HttpOnly; SameSite=Strict"
        self._send(HTTPStatus.SEE_OTHER, "text/plain; charset=utf-8", b"", headers)

    # ----------------------------------------------------------------------------------------------------- reading

    def _page(self) -> None:
        nonce = secrets.token_urlsafe(16)
        page = files(__package__).joinpath("page.html").read_text(encoding="utf-8").replace("{{nonce}}", nonce)
        policy = {"Content-Security-Policy": _POLICY.format(nonce=nonce)}
        self._send(HTTPStatus.OK, "text/html; charset=utf-8", page.encode(), policy)

    def _view(self) -> None:
        self._send_json(HTTPStatus.OK, self.server.session.view())

    def _media(self) -> None:
        media, field = self.server.session.media, self.query.get("field", "")
        path = media.find(self.query.get("id", ""), field)
        if path is None:
            raise _Refusal(HTTPStatus.NOT_FOUND, "There is no such file.\n")
        with path.open("rb") as file:
            self._send_file(file, path, media.content_type(path, field))

    # ----------------------------------------------------------------------------------------------------- writing

    def _answer(self) -> None:
        said = self._body()
        labels, seconds = said.get("labels"), said.get("seconds", 0.0)
        is_text = isinstance(said.get("id"), str) and isinstance(said.get("state"), str)
        if not is_text or not isinstance(labels, list) or not all(isinstance(name, str) for name in labels):
            raise _Refusal(HTTPStatus.BAD_REQUEST, "An answer has an id, a state, and a list of labels.\n")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e6:
            raise _Refusal(HTTPStatus.BAD_REQUEST, "The seconds are no number of seconds.\n")
        self._change(lambda: self.server.session.answer(said["id"], labels, said["state"], float(seconds)))

    def _undo(self) -> None:
        self._body()
        self._change(self.server.session.undo)

    def _next(self) -> None:
        number = self._body().get("round")
        self._change(lambda: self.server.session.next_batch(integer(number, "round", 1)))

    def _change(self, action: Any) -> None:
        try:
            view = action()
        except AnsweredElsewhereError as error:
            raise _Refusal(HTTPStatus.CONFLICT, str(error), self.server.session.view()) from None
        except TimeoutError as error:  # another command holds the campaign
            raise _Refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None
        except (ValueError, TypeError, OSError) as error:
            raise _Refusal(HTTPStatus.BAD_REQUEST, str(error)) from None
        self._send_json(HTTPStatus.OK, view)
