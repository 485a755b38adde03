"""Runs ``skmmal`` commands in fresh processes: a JSON request per line in, pids and exit codes out.

Forking from one process that has imported everything makes hundreds of commands a matter of seconds. This process
never computes with torch itself, so a child finds no half-copied thread pool. With ``kill_at`` a child sends itself
``kill -9`` before the n-th call that changes the disk; the calls are intercepted here, the package knows nothing of it.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import signal
import sys

import filelock  # noqa: F401
import pandas  # noqa: F401
import torch

import skmmal.campaign  # noqa: F401
from skmmal.cli import app

CALLS = ("fsync", "replace", "rename", "mkdir", "unlink")


def count_calls(kill_at):
    counter = {"n": 0}

    def wrap(real):
        def counted(*args, **kwargs):
            counter["n"] += 1
            if counter["n"] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return counted

    for name in CALLS:
        setattr(os, name, wrap(getattr(os, name)))
    return counter


def child(command, kill_at, output):
    sys.stdin.close()
    torch.set_num_threads(1)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    counter = count_calls(kill_at)
    code = 0
    try:
        app(command)
    except SystemExit as error:
        code = error.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 99
    with open(f"{output}.calls", "w") as file:
        file.write(str(counter["n"]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code))


def main():
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        app(["campaign", "init", "--help"])  # imports what the command line needs, once for all children
    gc.collect()
    gc.freeze()  # or every child copies all pages on its first collection
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        pids = []
        for number, command in enumerate(request["commands"]):
            pid = os.fork()
            if pid == 0:
                child(command, request["kill_at"], f"{request['output']}{number}")
            pids.append(pid)
        print(json.dumps(pids), flush=True)
        print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]), flush=True)


if __name__ == "__main__":
    main()
