"""Between a campaign and Label Studio: records what they say to each other, plays it back, and does harm on the way.

A `Wire` is a small server of the standard library. Behind it is either a real Label Studio (what passes is recorded, and
the token is taken out), or what was recorded from one. Harm is done to a request by its number: no answer, half of one,
another one, a slow one, or the process that asks is killed.
"""

from __future__ import annotations

import gzip
import http.server
import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

KEPT = ("Content-Type", "Location", "Retry-After")


class Recorded:
    """Exchanges with a real server, step by step; a request that was not recorded is an error."""

    def __init__(self, path: Path, mark: str = "") -> None:
        content = json.loads(gzip.decompress(path.read_bytes()))
        self.mark, self.about = mark, content["about"]
        self.steps = content["steps"]
        self.unknown: list[str] = []
        self.begin(next(iter(self.steps)))

    def begin(self, step: str) -> None:
        """The step that is played; once more from its first exchange if it is played again."""
        self._exchanges, self._at = self.steps[step], 0

    def skip(self, n: int) -> None:
        """Go on behind some exchanges."""
        self._at += n

    def answer(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, dict, bytes]:
        asked = key(method, path, body)
        for at in (self._at, self._at - 1, self._at + 1):  # the next, the last once more, or harm was done to one
            if 0 <= at < len(self._exchanges):
                known = self._exchanges[at]
                if key(known["method"], known["path"], json.dumps(known["body"]).encode()) == asked:
                    self._at = at + 1
                    text = known["answer"].replace(self.about["mark"], self.mark) if self.mark else known["answer"]
                    return known["status"], known["headers"], text.encode()
        self.unknown.append(f"{method} {path} {body!r}")
        return 599, {}, b"not recorded"


class Forwarded:
    """A real server; what passes is kept, without the token."""

    def __init__(self, url: str) -> None:
        self.url, self.steps = url, {}
        self.begin("")

    def begin(self, step: str) -> None:
        self._exchanges = self.steps.setdefault(step, [])

    def answer(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, dict, bytes]:
        wanted = {
            name: headers[name] for name in ("Authorization", "Content-Type", "Accept", "Range") if name in headers
        }
        request = urllib.request.Request(self.url + path, body, wanted, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay())
        try:
            with opener.open(request, timeout=120) as answer:
                status, given, content = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, given, content = error.code, error.headers, error.read()
        kept = {name: given[name] for name in KEPT if given.get(name)}
        if "/api/token" not in path:
            self._exchanges.append(
                {"method": method, "path": path, "body": json.loads(body) if body else None, "status": status,
                 "headers": kept, "answer": content.decode()}
            )  # fmt: skip
        return status, kept, content

    def write(self, path: Path, **about: str) -> None:
        """Write what was recorded."""
        steps = {name: exchanges for name, exchanges in self.steps.items() if name}
        text = json.dumps({"about": about, "steps": steps}, ensure_ascii=False)
        path.write_bytes(gzip.compress(text.encode(), mtime=0))


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args, **kwargs):
        return None


def key(method: str, path: str, body: bytes | None) -> str:
    """What is the same in every run: not the numbers of the model, nor the campaign's mark."""
    content = json.loads(body) if body else None
    if isinstance(content, list):  # tasks
        content = [[task["data"]["skmmal_id"], sorted(task["data"])] for task in content]
    elif isinstance(content, dict) and "description" in content:
        content = {**content, "description": ""}
    return json.dumps([method, path, content], sort_keys=True)


class Wire:
    """Serves on loopback; `harm` is what happens to which request, counted from the last `begin`."""

    def __init__(self, source) -> None:
        self.source = source
        self.harm: dict[int, tuple] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.victim = 0
        self._lock = threading.Lock()
        wire = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                wire._serve(self)

            do_POST = do_PATCH = do_DELETE = do_GET

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Wire:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *args) -> None:
        self._server.shutdown()
        self._server.server_close()

    def begin(self, step: str, harm: dict[int, tuple] | None = None) -> None:
        """The next step of the story, and the harm that is done in it."""
        self.source.begin(step)
        self.harm, self.requests = dict(harm or {}), []

    def _serve(self, handler) -> None:
        with self._lock, suppress(BrokenPipeError, ConnectionResetError):
            n = int(handler.headers.get("Content-Length") or 0)
            body = handler.rfile.read(n) if n else None
            self.requests.append((handler.command, handler.path, dict(handler.headers)))
            what, *how = self.harm.get(len(self.requests), ("none",))
            handler.close_connection = what != "none"
            if what == "drop":  # before the server has heard of it
                return
            if what == "kill":
                self._kill()
                return
            if what == "answer":
                return _reply(handler, *how)
            status, headers, content = self.source.answer(handler.command, handler.path, body, dict(handler.headers))
            if what == "lose":  # the server has done it, and nobody hears of it
                return
            if what == "kill after":
                self._kill()
                return
            if what == "slow":
                time.sleep(how[0])
            if what == "change":
                content = how[0](content)
            _reply(handler, status, content, headers, half=what == "half", drip=how[0] if what == "drip" else 0.0)

    def _kill(self) -> None:
        os.kill(self.victim, signal.SIGKILL)


def _reply(handler, status, content, headers=None, *, half=False, drip=0.0) -> None:
    handler.send_response(status)
    for name, value in (headers or {"Content-Type": "application/json"}).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    if drip:
        for i in range(len(content)):
            handler.wfile.write(content[i : i + 1])
            handler.wfile.flush()
            time.sleep(drip)
    handler.wfile.write(content[: len(content) // 2] if half else content)
    handler.wfile.flush()


def in_a_process_of_its_own(wire, call):
    """Exit code of a call in a process that the wire may kill (−9)."""
    wire.victim = -1
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(read, 1)  # until the other one knows whom to kill
        code = 1
        try:
            call()
            code = 0
        finally:
            os._exit(code)
    wire.victim = pid
    os.write(write, b"x")
    _, status = os.waitpid(pid, 0)
    os.close(read), os.close(write)
    return os.waitstatus_to_exitcode(status)
