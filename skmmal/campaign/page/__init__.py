"""A labelling page of our own: one command, one browser, no server to install and nothing from the network."""

from __future__ import annotations

from skmmal.campaign.page._server import LabelingPage

__all__ = ["LabelingPage"]
