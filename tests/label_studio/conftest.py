"""A real Label Studio on loopback, in an environment of its own, with two people.

``LABEL_STUDIO`` names its command (default: the one on the path). Nothing of it is taken that is not in the package.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from label_studio_people import People, User
from label_studio_wire import Forwarded, Wire

LEGACY = "0123456789abcdef0123456789abcdef01234567"
LONGEST = 1200.0
"""Seconds for the first answer: a new database is set up in a minute, and in many where the machine is busy."""


class Studio:
    """The server: its address, its two users, their tokens, and the folder of files that it gives out."""

    def __init__(self, url: str, root: Path) -> None:
        self.url, self.root = url, root
        ann = User(url).enter("/user/login/", "ann@example.com", "ann-password-1")
        invited = ann.api("GET", "/invite")["invite_url"]
        bob = User(url)
        try:
            bob.enter(invited[invited.index("/user/") :], "bob@example.com", "bob-password-1")
            bob.api("GET", "/current-user/whoami")
        except urllib.error.HTTPError:  # he has joined before
            bob = User(url).enter("/user/login/", "bob@example.com", "bob-password-1")
        self.users = {"ann": ann, "bob": bob}

    def people(self, project: int, to: str = "picture") -> People:
        return People(self.users, project, to)

    def personal_token(self, who: str = "ann") -> str:
        user = self.users[who]
        try:
            return user.api("POST", "/token/")["token"]
        except urllib.error.HTTPError:  # each has one
            (known,) = user.api("GET", "/token/")
            user.api("POST", "/token/blacklist", {"refresh": known["token"]})
            return user.api("POST", "/token/")["token"]


def start(folder: Path) -> tuple[subprocess.Popen, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder / "data"),
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(folder / "files"),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "COLLECT_ANALYTICS": "False",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
    }
    environment.pop("PYTHONPATH", None)
    command = [os.environ.get("LABEL_STUDIO", "label-studio"), "start", "--no-browser", "--internal-host", "127.0.0.1"]
    command += [
        "--port",
        str(port),
        "--username",
        "ann@example.com",
        "--password",
        "ann-password-1",
        "--user-token",
        LEGACY,
    ]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    began = time.monotonic()
    while time.monotonic() < began + LONGEST:
        try:
            with urllib.request.urlopen(f"{url}/api/version", timeout=5):
                return process, url
        except OSError:
            assert process.poll() is None, (folder / "log").read_text()[-3000:]
            time.sleep(0.5)
    raise AssertionError((folder / "log").read_text()[-3000:])


@pytest.fixture(scope="session", autouse=True)
def _token():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABEL_STUDIO_API_KEY", LEGACY)
        yield


@pytest.fixture(scope="session")
def studio():
    if "LABEL_STUDIO_TEST_URL" in os.environ:  # one that runs already, started as above
        yield Studio(os.environ["LABEL_STUDIO_TEST_URL"], Path(os.environ["LABEL_STUDIO_TEST_FILES"]))
        return
    folder = Path(tempfile.mkdtemp(prefix="label-studio-"))
    (folder / "files" / "pictures").mkdir(parents=True)
    (folder / "data").mkdir()
    process, url = start(folder)
    try:
        yield Studio(url, folder / "files")
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def wire(studio):
    with Wire(Forwarded(studio.url)) as wire:
        yield wire
