"""Labelling campaigns: batches out, labels in, round after round, in a folder that survives what happens to it."""

from __future__ import annotations

from skmmal.campaign._files import CampaignError
from skmmal.campaign.campaign import LabelingCampaign
from skmmal.campaign.status import Status

__all__ = ["CampaignError", "LabelingCampaign", "Status"]
