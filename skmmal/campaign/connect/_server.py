"""What a campaign asks of Label Studio: projects, tasks with their annotations, people, folders of files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from skmmal.campaign.connect._client import Client, ServerError

__all__ = ["PAGE", "Server"]

PAGE = 200
"""Tasks asked for, or sent, at once."""


class Server:
    """A Label Studio server, seen through its API.

    Parameters
    ----------
    client : Client
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self.url, self.is_plain = client.url, client.is_plain

    # ------------------------------------------------------------------------------------------------------- projects

    def project(self, number: int) -> dict[str, Any]:
        """Everything about a project."""
        try:
            found = self._client.get(f"/api/projects/{number}")
        except ServerError as error:
            if error.status == 404:
                raise ServerError(
                    f"{self.url} has no project {number}, or hides it from the user of the token (project, --project)",
                    status=404,
                ) from None
            raise
        if found is None or not isinstance(found, dict) or found.get("id") != number:
            raise self._nonsense("project", found)
        for name, kind in {"created_at": str, "label_config": str, "title": str}.items():
            if not isinstance(found.get(name), kind):
                raise self._nonsense("project", found)
        return found

    def projects_called(self, title: str) -> list[dict[str, Any]]:
        """Projects of exactly this name that the user can see."""
        found: list[dict[str, Any]] = []
        page = 1
        while True:
            answer = self._client.get(
                "/api/projects", page=page, page_size=100, title=title, include="id,title,description"
            )
            if not isinstance(answer, dict) or not _are_objects(answer.get("results")):
                raise self._nonsense("list of projects", answer)
            found += answer["results"]
            if not answer.get("next"):
                return [project for project in found if project.get("title") == title]
            page += 1

    def create_project(self, title: str, description: str, config: str) -> int:
        """Make a project; its number."""
        made = self._client.change(
            "POST", "/api/projects", {"title": title, "description": description, "label_config": config}
        )
        if not isinstance(made, dict) or not isinstance(made.get("id"), int):
            raise self._nonsense("new project", made)
        return int(made["id"])

    def change_project(self, number: int, **settings: Any) -> None:
        """Change settings of a project."""
        self._client.change("PATCH", f"/api/projects/{number}", settings)

    # ---------------------------------------------------------------------------------------------------------- tasks

    def tasks(self, project: int, *, annotations: bool = False) -> list[dict[str, Any]]:
        """Every task of a project, in the order of their numbers.

        Each page asks for tasks with numbers above the last one: tasks that are deleted in the meantime move no other
        task to a page that was read already. An answer that contradicts itself is an error: what is missing would look
        as if it had been deleted.
        """
        return [task for page in self._pages(project, annotations) for task in page]

    def _pages(self, project: int, annotations: bool) -> Iterator[list[dict[str, Any]]]:
        fields = {"fields": "all"} if annotations else {"include": "id,data"}  # "include" would empty the annotations
        last = 0
        while True:
            above = {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": last}
            query = {"ordering": ["tasks:id"], "filters": {"conjunction": "and", "items": [above]}}
            answer = self._client.get(
                "/api/tasks", project=project, page_size=PAGE, resolve_uri="false", query=json.dumps(query), **fields
            )
            if not isinstance(answer, dict) or not _are_objects(answer.get("tasks")):
                raise self._nonsense("list of tasks", answer)
            tasks, total = answer["tasks"], answer.get("total")
            numbers = [task.get("id") for task in tasks]
            if not all(isinstance(number, int) and number > last for number in numbers) or numbers != sorted(
                set(numbers)
            ):
                raise self._nonsense("list of tasks", answer)
            if not isinstance(total, int) or (total > 0 and not tasks):
                raise ServerError(
                    f"{self.url} lists no tasks of project {project} and says that there are {total}; nothing was "
                    "recorded: give the command again",
                    passes=True,
                )
            if annotations and not all(isinstance(task.get("annotations"), list) for task in tasks):
                raise self._nonsense("list of tasks", answer)
            yield tasks
            if len(tasks) >= total:
                return
            last = numbers[-1]

    def send(self, project: int, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Add tasks to a project."""
        self._client.change("POST", f"/api/projects/{project}/import", list(tasks))

    # --------------------------------------------------------------------------------------------------------- people

    def people(self) -> dict[int, str]:
        """E-mail addresses by the numbers of people; empty where the user of the token may not see them."""
        try:
            found = self._client.get("/api/users/")
        except ServerError as error:
            if error.status in (403, 404):
                return {}
            raise
        if not _are_objects(found):
            raise self._nonsense("list of people", found)
        return {
            person["id"]: str(person.get("email") or person.get("username") or person["id"])
            for person in found
            if isinstance(person.get("id"), int)
        }

    # ---------------------------------------------------------------------------------------------------------- files

    def offer_folder(self, project: int, path: str, hint: str) -> None:
        """Let the server give out the files of a folder that it can read; done once for each project.

        `hint` says what to do where it refuses.
        """
        there = self._client.get("/api/storages/localfiles", project=project)
        if not _are_objects(there):
            raise self._nonsense("list of storages", there)
        if any(storage.get("path") == path for storage in there):
            return
        storage = {"project": project, "path": path, "title": "skmmal", "use_blob_urls": True}
        try:
            self._client.change("POST", "/api/storages/localfiles", storage)
        except ServerError as error:
            if error.status != 400:
                raise
            raise ServerError(f"{error}. {hint}", status=400) from None

    def look(self, path: str) -> tuple[int, str]:
        """Status and content type of a file on the server."""
        return self._client.look(path)

    def _nonsense(self, what: str, answer: Any) -> ServerError:
        found = f"a {type(answer).__name__}" if not isinstance(answer, dict) else f"the keys {sorted(answer)[:8]}"
        return ServerError(
            f"{self.url} does not answer as Label Studio does when it is asked for a {what} (found {found}); nothing "
            "was recorded: is it the root of a Label Studio server, of version 1.13 or newer?"
        )


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)
