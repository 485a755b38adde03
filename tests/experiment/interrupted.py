"""Runs that are killed, and what they leave."""

import pytest

from skmmal.experiment._folder import RunFolder


def contents(folder):
    """Bytes of every file but the timings."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files
        if "timings" not in str(path.relative_to(folder))
    }


class Killed(BaseException):
    pass


def kill_after(n_writes, call):
    """Call a function that runs an experiment, until it has written so many rounds."""
    real, written = RunFolder.write_record, []

    def write(self, *args):
        if len(written) == n_writes:
            raise Killed
        written.append(args)
        real(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "write_record", write)
        with pytest.raises(Killed):
            call()
