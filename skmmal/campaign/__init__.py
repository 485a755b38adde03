"""Labelling campaigns: batches out, labels in, round after round, in a folder that survives what happens to it."""

from __future__ import annotations

from skmmal.campaign._batch import batch_table, choose
from skmmal.campaign._benefit import Benefit
from skmmal.campaign._campaign import LabelingCampaign
from skmmal.campaign._export import empty_fields, export_batch, export_labels
from skmmal.campaign._files import CampaignError
from skmmal.campaign._report import write_campaign_report
from skmmal.campaign._status import Status
from skmmal.campaign.connect import ServerError
from skmmal.campaign.formats import labeling_config, read_data, read_labels_file
from skmmal.query._class_balance import balance_classes

__all__ = [
    "Benefit",
    "CampaignError",
    "LabelingCampaign",
    "ServerError",
    "Status",
    "balance_classes",
    "batch_table",
    "choose",
    "empty_fields",
    "export_batch",
    "export_labels",
    "labeling_config",
    "read_data",
    "read_labels_file",
    "write_campaign_report",
]
