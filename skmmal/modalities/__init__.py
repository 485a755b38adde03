"""A sample is a row, a modality is a named block of columns; what turns X into that."""

from skmmal.modalities._array import (
    DEFAULT_NAME,
    Layout,
    MultimodalArray,
    as_multimodal,
    concatenate,
    is_multimodal,
    pack,
    presence_mask,
    resolve_layout,
    unpack,
)

__all__ = [
    "DEFAULT_NAME",
    "Layout",
    "MultimodalArray",
    "as_multimodal",
    "concatenate",
    "is_multimodal",
    "pack",
    "presence_mask",
    "resolve_layout",
    "unpack",
]
