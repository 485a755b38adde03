"""Counts the generated cases, and says how many there were."""

import os

import pytest
from fuzz.harness import ANSWERED_CASES, REFUSED_CASES, write_report


@pytest.fixture(autouse=True, scope="module")
def no_flushing():
    """Thousands of small files need not reach a disk; that they do is tested with the modules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


def pytest_terminal_summary(terminalreporter):
    answered, refused = sum(ANSWERED_CASES.values()), sum(REFUSED_CASES.values())
    if answered + refused:
        entries = len({*ANSWERED_CASES, *REFUSED_CASES})
        terminalreporter.write_line(
            f"fuzz: {answered + refused} generated inputs at {entries} entry points, "
            f"{answered} answered, {refused} refused"
        )


def pytest_sessionfinish():
    if os.environ.get("FUZZ_REPORT"):
        write_report(os.environ["FUZZ_REPORT"])
