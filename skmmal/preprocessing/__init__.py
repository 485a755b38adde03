"""Transformers that keep the modalities apart: scaling to one weight, and any other of scikit-learn's."""

from skmmal.preprocessing._modality_scaler import ModalityScaler
from skmmal.preprocessing._per_modality import PerModality

__all__ = ["ModalityScaler", "PerModality"]
