"""A shared space for all modalities, learned without labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skmmal._torch import load

if TYPE_CHECKING:
    from skmmal.representation._cross_modal_encoder import CrossModalEncoder as CrossModalEncoder

__all__ = ["CrossModalEncoder"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return load(f"{__name__}._cross_modal_encoder", name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
