"""A small pool with known labels, and ways to look at a campaign's folder."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skmmal import LateFusionClassifier
from skmmal.campaign import LabelingCampaign
from skmmal.datasets import load_emoji, make_multimodal_classification
from skmmal.features import FeatureStore

SERVER = Path(__file__).with_name("command_server.py")


@pytest.fixture(scope="session")
def pool(tmp_path_factory):
    """Folder of a feature cache with 150 rows, and the true label of each id."""
    X, y = make_multimodal_classification(
        150, {"a": 5, "b": 4}, n_classes=3, difficulty={"a": 2.0, "b": 3.0}, missing={"b": 0.2}, random_state=0,
        return_X_y=True,
    )  # fmt: skip
    ids = [f"s{i:03d}" for i in range(150)]
    folder = tmp_path_factory.mktemp("pool") / "features"
    FeatureStore.write(folder, X.blocks, ids=ids)
    return folder, dict(zip(ids, np.array(["cat", "dog", "eel"])[y].tolist(), strict=True))


@pytest.fixture(scope="session")
def emoji_pool(tmp_path_factory):
    bunch = load_emoji()
    folder = tmp_path_factory.mktemp("emoji") / "features"
    FeatureStore.write(folder, bunch.data.blocks, ids=bunch.codepoints.tolist())
    return folder, dict(zip(bunch.codepoints.tolist(), bunch.target_names[bunch.target].tolist(), strict=True))


@pytest.fixture
def begin(pool, tmp_path):
    """Begin a campaign on the small pool; keywords are `create`'s."""

    def call(name="campaign", **options):
        options = {"n_instances": 12, "initial": "random", "estimator": LateFusionClassifier(), **options}
        return LabelingCampaign.create(tmp_path / name, pool[0], **options)

    return call


@pytest.fixture
def answer(pool):
    """True labels of a batch."""

    def call(batch):
        return {name: pool[1][name] for name in batch["id"]}

    return call


@pytest.fixture(scope="session")
def contents():
    """Bytes of every file of a campaign that does not depend on who ran it when."""

    def call(folder):
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
            and path.name != "stamp.json"
            and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        }

    return call


@pytest.fixture(scope="session")
def write_labels():
    def call(path, labels, **columns):
        pd.DataFrame({"id": list(labels), "label": list(labels.values())}).assign(**columns).to_csv(path, index=False)
        return path

    return call


class Server:
    """Runs ``skmmal`` commands, each in a process of its own that can be killed; see command_server.py."""

    def __init__(self, process, folder):
        self.process = process
        self.folder = folder

    def start(self, *commands, kill_at=None):
        request = {
            "commands": [[str(part) for part in command] for command in commands],
            "kill_at": kill_at,
            "output": str(self.folder / "output"),
        }
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def wait(self):
        """Exit codes (−9: killed)."""
        return json.loads(self.process.stdout.readline())

    def run(self, *command, kill_at=None):
        """Exit code of one command."""
        self.start(command, kill_at=kill_at)
        return self.wait()[0]

    def output(self, number=0):
        return (self.folder / f"output{number}").read_text()

    def disk_calls(self):
        """How often the last command touched the disk."""
        return int((self.folder / "output0.calls").read_text())


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with subprocess.Popen(
        [sys.executable, str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        yield Server(process, tmp_path_factory.mktemp("server"))
        process.stdin.close()
        process.wait(30)


@pytest.fixture
def play_with_kills(server, contents, tmp_path):
    """Play a script twice, in the second campaign with every command killed before it is done and then repeated.

    Both end in the same bytes. The script is made of what runs a command, the campaign's folder and one for files, and
    plays with `play`. Returned is how many commands died.
    """

    def call(make):
        counts = []

        def undisturbed(*command):
            code = server.run(*command)
            counts.append(server.disk_calls())
            return code

        make(undisturbed, tmp_path / "whole", tmp_path / "whole-files").play()
        rng = np.random.default_rng(1)
        expected = iter(counts)
        n_kills = 0

        def disturbed(*command):
            nonlocal n_kills
            n_calls = next(expected)
            if n_calls > 3:
                n_kills += server.run(*command, kill_at=int(rng.integers(1, n_calls + 1))) == -9
            if command[1] == "next":  # and once by the clock, while it computes
                (pid,) = server.start(command)
                time.sleep(float(rng.uniform(0.0, 0.5)))
                with contextlib.suppress(ProcessLookupError):  # it was faster
                    os.kill(pid, signal.SIGKILL)
                n_kills += server.wait()[0] == -9
            if command[2].exists():
                LabelingCampaign(command[2]).state()  # what a kill leaves can be read
            return server.run(*command)

        make(disturbed, tmp_path / "killed", tmp_path / "killed-files").play()
        killed, whole = contents(tmp_path / "killed"), contents(tmp_path / "whole")
        assert list(killed) == list(whole)
        assert killed == whole
        return n_kills

    return call
