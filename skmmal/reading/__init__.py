"""One reading of a model: what it says of a pool's rows, each answer computed when first asked for, and once."""

from skmmal.reading._accuracies import accuracies
from skmmal.reading._read import read, read_with_labels
from skmmal.reading._reading import ALL, FUSED, Head, Reading
from skmmal.reading._source import Source

__all__ = ["ALL", "FUSED", "Head", "Reading", "Source", "accuracies", "read", "read_with_labels"]
