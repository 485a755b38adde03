"""The feature cache on disk: one folder, one plain .npy file per modality, one row per sample.

``FeatureStore`` reads, writes and checks it; ``RowWriter`` fills a modality range by range and survives any kill.
Needs numpy; Parquet, safetensors and Hugging Face folders need their readers when they are imported.
"""

from __future__ import annotations

from skmmal.features._claims import CacheInUseError
from skmmal.features._files import CacheError
from skmmal.features._modality import FingerprintError
from skmmal.features._ranges import Range
from skmmal.features._store import FeatureStore
from skmmal.features._writer import RowWriter

__all__ = ["CacheError", "CacheInUseError", "FeatureStore", "FingerprintError", "Range", "RowWriter"]
