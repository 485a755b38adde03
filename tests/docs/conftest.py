"""What the tests of the documentation share."""

from __future__ import annotations


def pytest_configure(config):
    config.addinivalue_line("markers", "gallery: runs a script of the gallery in a process of its own")
