"""HTTP with a Label Studio server, by the standard library: every answer is data, or an error that says what to do."""

from __future__ import annotations

import http.client
import ipaddress
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from skmmal.campaign.connect._token import VARIABLE, Token

__all__ = ["Client", "ServerError", "check_url"]

_ATTEMPTS = 4
_LONGEST_PAUSE = 60.0
_LARGEST = 512 * 2**20
"""Bytes of an answer; whatever sends more is no Label Studio."""


class ServerError(OSError):
    """A Label Studio server is away, refuses, or answers what cannot be used; nothing was recorded.

    Parameters
    ----------
    message : str
        What happened, and what to do.
    passes : bool, default=False
        Whether it may be over in a while: the server is away, slow or overloaded.
    status : int, optional
        Of the answer, if there was one.
    pause : float, optional
        Seconds after which the server asks to be asked again.

    Examples
    --------
    >>> from skmmal.campaign import ServerError
    >>> ServerError("the server does not answer", passes=True).passes
    True
    """

    def __init__(
        self, message: str, *, passes: bool = False, status: int | None = None, pause: float | None = None
    ) -> None:
        super().__init__(message)
        self.passes, self.status, self.pause = passes, status, pause


def check_url(url: str) -> str:
    """Address of a server, without the slash at its end; what could be no such address is an error.

    Examples
    --------
    >>> check_url("http://localhost:8080/")
    'http://localhost:8080'
    """
    if not isinstance(url, str):
        raise TypeError(f"url must be an address such as http://localhost:8080, got {url!r}")
    try:
        parts = urllib.parse.urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"url: {error}; expected an address such as http://localhost:8080") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"url holds a name or a password, which would be written down; the token is in {VARIABLE}")
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\s\x00-\x1f]", url.strip()):
        raise ValueError(f"url must be an address such as http://localhost:8080, got {url!r}")
    inside = re.match(r"(.*?)/(?:projects(?:/(\d+))?|api|user)(?:/.*)?$", parts.path)
    if parts.query or parts.fragment or inside:
        root = f"{parts.scheme}://{parts.netloc}{inside[1] if inside else parts.path.rstrip('/')}"
        number = f", project {inside[2]}" if inside and inside[2] else ""
        raise ValueError(f"url is a page inside Label Studio, got {url!r}; give the root of the server: {root}{number}")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the token is for the address that the user gave."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class Client:
    """One Label Studio server, as one user.

    Parameters
    ----------
    url : str
        See `check_url`.
    token : Token
    timeout : float, default=60.0
        Seconds for a whole answer.
    """

    def __init__(self, url: str, token: Token, *, timeout: float = 60.0) -> None:
        self.url, self.timeout = check_url(url), timeout
        self._token = token
        handlers: list[urllib.request.BaseHandler] = [_Stay()]
        if self.is_local:  # no proxy between this machine and itself
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine."""
        host = urllib.parse.urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def is_plain(self) -> bool:
        """Whether the token goes over a network as it is."""
        return self.url.startswith("http:") and not self.is_local

    def get(self, path: str, **query: Any) -> Any:
        """Ask for something; a server that is away for a moment is asked again."""
        encoded = urllib.parse.urlencode({name: _text(value) for name, value in query.items()})
        return self._patiently("GET", f"{path}?{encoded}" if encoded else path, None)

    def change(self, method: str, path: str, content: Any) -> Any:
        """Have something made or changed; asked again only where the server has done nothing (429)."""
        return self._patiently(method, path, content)

    def look(self, path: str) -> tuple[int, str]:
        """Status and content type of a file that the server itself has; errors of the network are raised."""
        self._have_access()
        try:
            with self._open("GET", path, None, {"Range": "bytes=0-0"}) as answer:
                return answer.status, answer.headers.get_content_type()
        except urllib.error.HTTPError as error:
            error.close()
            return error.code, error.headers.get_content_type()
        except (OSError, http.client.HTTPException) as error:
            raise self._away(error) from None

    # ------------------------------------------------------------------------------------------------------ one answer

    def _patiently(self, method: str, path: str, content: Any) -> Any:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._ask(method, path, content)
            except ServerError as error:
                again = error.status == 429 or (method == "GET" and error.passes)
                if not again or attempt == _ATTEMPTS:
                    raise
                time.sleep(min(error.pause if error.pause is not None else 2.0 ** (attempt - 1), _LONGEST_PAUSE))
        raise AssertionError("unreachable")

    def _ask(self, method: str, path: str, content: Any) -> Any:
        self._have_access()
        try:
            return self._exchange(method, path, content)
        except ServerError as error:
            if error.status != 401 or not self._token.is_personal:
                raise
            self._token.expire()  # revoked, or the clocks differ
        self._have_access()
        return self._exchange(method, path, content)

    def _have_access(self) -> None:
        if not self._token.is_stale:
            return
        try:
            answer = self._exchange("POST", "/api/token/refresh", self._token.exchange, authorized=False)
        except ServerError as error:
            if error.status in (400, 401, 403, 404):
                raise ServerError(
                    f"{self.url} does not take the personal token in {VARIABLE} (status {error.status}): it has "
                    "expired, was revoked, or is of another server; make a new one (Account & Settings, Personal "
                    "Access Token)",
                    status=error.status,
                ) from None
            raise
        access = answer.get("access") if isinstance(answer, dict) else None
        if not isinstance(access, str) or not access:
            raise ServerError(f"{self.url}/api/token/refresh gives no access token; is it Label Studio 1.18 or newer?")
        self._token.renew(access)

    def _exchange(self, method: str, path: str, content: Any, *, authorized: bool = True) -> Any:
        body = None if content is None else json.dumps(content).encode()
        end = time.monotonic() + self.timeout
        try:
            with self._open(method, path, body, {"Accept": "application/json"}, authorized) as answer:
                raw = _read(answer, end)
                return self._parsed(raw, answer.headers.get_content_type(), method, path)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error, method, path) from None
        except ServerError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise self._away(error) from None

    def _open(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], authorized: bool = True
    ) -> http.client.HTTPResponse:
        headers = {"User-Agent": "skmmal", **headers}
        if body is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        if authorized:
            request.add_unredirected_header("Authorization", self._token.header)
        return self._opener.open(request, timeout=self.timeout)

    # ------------------------------------------------------------------------------------------------ what went wrong

    def _parsed(self, raw: bytes, kind: str, method: str, path: str) -> Any:
        if not raw:
            return None
        try:
            return json.loads(raw)
        except (ValueError, RecursionError):
            pass
        if kind == "text/html" or raw.lstrip()[:1] == b"<":
            raise ServerError(
                f"{self.url} answers {method} {_short(path)} with a web page, not with data: is it the root of a Label "
                "Studio server, and is no login page of a proxy before it?"
            )
        raise ServerError(
            f"{self.url} answers {method} {_short(path)} with {len(raw)} bytes that are no JSON, or not all of it; "
            "nothing was recorded: give the command again",
            passes=True,
        )

    def _refused(self, error: urllib.error.HTTPError, method: str, path: str) -> ServerError:
        status, said = error.code, self._said(error)
        where = f"{self.url} ({method} {_short(path)}, status {status}{said})"
        if 300 <= status < 400:
            to = self._token.hide(error.headers.get("Location") or "?")
            return ServerError(
                f"{where} redirects to {to}, which is not followed with a token: if that is the server, give its root "
                "as the url (--url)",
                status=status,
            )
        if status == 401:
            way = (
                f"does not take the token in {VARIABLE}. It may be of another server or revoked, or it is a legacy "
                "token and those are switched off for the organization: make a personal one (Account & Settings, "
                "Personal Access Token)"
            )
        elif status == 403:
            way = "does not allow that to the user of the token: let an owner or manager of the project do it"
        elif status == 404:
            way = "knows none such, or hides it from the user of the token; check url and project (--url, --project)"
        elif status == 429:
            return ServerError(
                f"{where} asks to be asked less often; give the command again later, or watch with a longer interval",
                passes=True,
                status=status,
                pause=_seconds(error.headers.get("Retry-After")),
            )
        elif status >= 500:
            return ServerError(
                f"{where} has failed. Nothing was recorded here; give the command again, and if it stays so look into "
                "the server's log",
                passes=True,
                status=status,
            )
        else:
            way = "refuses the request; nothing was recorded"
        return ServerError(f"{where} {way}", status=status)

    def _said(self, error: urllib.error.HTTPError) -> str:
        """What the server says to its refusal, in one line."""
        try:
            raw = error.read(100_000)
            content = json.loads(raw)
        except (ValueError, OSError, http.client.HTTPException, RecursionError):
            return ""
        if isinstance(content, dict):
            content = content.get("validation_errors") or content.get("detail") or content
        text = " ".join(re.sub(r"[^\x20-\x7e\xa0-\U0010ffff]+", " ", _words(content)).split())
        text = self._token.hide(text)
        return f": {text[:500]}{'...' if len(text) > 500 else ''}" if text else ""

    def _away(self, error: Exception) -> ServerError:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            return ServerError(
                f"{self.url} has not answered within {self.timeout:g} seconds; give the command again, or allow more "
                "time (--timeout)",
                passes=True,
            )
        what = self._token.hide(str(reason) or type(reason).__name__)
        return ServerError(
            f"{self.url} cannot be reached, or breaks off ({what}): is the server running, and the address right?",
            passes=True,
        )


def _read(answer: http.client.HTTPResponse, end: float) -> bytes:
    """The whole answer, as long as there is time; a server that sends a byte now and then is cut off."""
    parts: list[bytes] = []
    n = 0
    while True:
        part = answer.read1(2**20)
        if not part:
            break
        parts.append(part)
        n += len(part)
        if time.monotonic() > end:
            raise TimeoutError
        if n > _LARGEST:
            raise ServerError(f"the server sends more than {_LARGEST >> 20} MB for one answer; that is no Label Studio")
    if answer.length:  # bytes that were announced and did not come
        raise http.client.IncompleteRead(b"", answer.length)
    return b"".join(parts)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _short(path: str) -> str:
    return path.partition("?")[0]


def _words(content: Any) -> str:
    """What an answer says, without the braces."""
    if isinstance(content, dict):
        return "; ".join(f"{name}: {_words(value)}" for name, value in content.items() if name != "exc_info" and value)
    if isinstance(content, list):
        return ", ".join(map(_words, content))
    return str(content)


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isdigit() else None
