"""Files that go to annotation tools and come back, one module for each format."""

from skmmal._tables import read_lines
from skmmal.campaign.formats._data import read_data
from skmmal.campaign.formats._label_studio import labeling_config
from skmmal.campaign.formats._labels_file import SOURCES, read_labels_file

__all__ = ["SOURCES", "labeling_config", "read_data", "read_labels_file", "read_lines"]
