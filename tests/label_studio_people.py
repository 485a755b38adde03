"""People at a real Label Studio: they log in as a browser does, and label through its API."""

from __future__ import annotations

import http.cookiejar
import json
import urllib.error
import urllib.parse
import urllib.request


class User:
    """A session of one person."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.jar)
        )

    def raw(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        token = next((cookie.value for cookie in self.jar if cookie.name == "csrftoken"), "")
        headers = {"Content-Type": kind, "X-CSRFToken": token or "", "Referer": self.url}
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        with self.opener.open(request, timeout=60) as answer:
            return answer.read()

    def api(self, method: str, path: str, content: object = None) -> object:
        body = None if content is None else json.dumps(content).encode()
        answer = self.raw(method, f"/api{path}", body)
        return json.loads(answer) if answer else None

    def enter(self, path: str, email: str, password: str) -> User:
        self.raw("GET", path)
        token = next(cookie.value for cookie in self.jar if cookie.name == "csrftoken")
        form = {"email": email, "password": password, "csrfmiddlewaretoken": token, "allow_newsletters": "false"}
        self.raw("POST", path, urllib.parse.urlencode(form).encode(), "application/x-www-form-urlencoded")
        return self


def choice(label: str | list[str], control: str = "label", to: str = "picture", **more: object) -> dict:
    chosen = [label] if isinstance(label, str) else label
    return {"from_name": control, "to_name": to, "type": "choices", "value": {"choices": chosen}, **more}


class People:
    """Annotators of a project, who act on rows by our id."""

    def __init__(self, users: dict[str, User], project: int, to: str = "picture") -> None:
        self.users, self.project, self.to = users, project, to
        self.numbers: dict[tuple[str, str], int] = {}
        self._known: dict[str, int] = {}

    def task(self, row: str) -> int:
        """Number of the row's task; of several the last, as of a row that was sent once more."""
        if row not in self._known:
            self._known = {
                task["data"]["skmmal_id"]: task["id"] for task in sorted(self.tasks(), key=lambda one: one["id"])
            }
        return self._known[row]

    def look_again(self) -> None:
        """Forget which task is whose."""
        self._known = {}

    def tasks(self) -> list[dict]:
        user = next(iter(self.users.values()))
        return user.api("GET", f"/tasks?project={self.project}&page_size=10000&include=id,data")["tasks"]

    def answer(self, row: str, who: str, label: str | list[str], origin: str = "manual", **more: object) -> None:
        """One class, or a set of labels; nothing is ticked in an empty one."""
        result = [choice(label, to=self.to, origin=origin)] if label else []
        content = {"result": result, "lead_time": 4.25, **more}
        self.numbers[row, who] = self.users[who].api("POST", f"/tasks/{self.task(row)}/annotations/", content)["id"]

    def cancel(self, row: str, who: str) -> None:
        content = {"result": [], "was_cancelled": True}
        self.numbers[row, who] = self.users[who].api("POST", f"/tasks/{self.task(row)}/annotations/", content)["id"]

    def change(self, row: str, who: str, label: str | list[str]) -> None:
        result = [choice(label, to=self.to, origin="manual")] if label else []
        content = {"result": result, "was_cancelled": False}
        self.users[who].api("PATCH", f"/annotations/{self.numbers[row, who]}/", content)

    def settle(self, row: str, who: str) -> None:
        self.users[who].api("PATCH", f"/annotations/{self.numbers[row, who]}/", {"ground_truth": True})

    def delete(self, row: str, who: str) -> None:
        self.users[who].api("DELETE", f"/annotations/{self.numbers[row, who]}/")

    def delete_task(self, row: str) -> None:
        next(iter(self.users.values())).api("DELETE", f"/tasks/{self.task(row)}/")
        del self._known[row]
