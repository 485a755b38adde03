"""A committee of learners as one source: what its members say, each of them read once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from skmmal._targets import SEVERAL_LABELS, Target
from skmmal.contributions import contributions
from skmmal.reading._model import ModelSource
from skmmal.reading._posterior import aligned
from skmmal.reading._source import FUSED, Source

__all__ = ["CommitteeSource"]


class CommitteeSource(ModelSource):
    """The consensus of the members of a committee: modAL's, or anything with a ``learner_list``.

    Probabilities are the committee's own, the mean of its members'. Where all members are multimodal it is, too. A
    coalition's value is the mean of what the members give the committee's class; Shapley values are linear in it, so
    they are averaged, and contributions follow from the average. The probabilities of each modality's own head are
    averaged. An embedding block is the members' blocks side by side over the square root of their number, so that
    inner products are the members' average.

    Parameters
    ----------
    model, X, **options
        As of `ModelSource`.
    reader : callable
        Makes a source of a member and the rows.
    """

    def __init__(self, model: Any, X: Any, *, reader: Callable[[Any, Any], Source], **options: Any) -> None:
        super().__init__(model, X, reader=reader, **options)
        self._read_member = reader

    @cached_property
    def _members(self) -> list[Any]:
        members: list[Any] = [self._read_member(learner.estimator, self.X) for learner in self.final.learner_list]
        for member in members:
            member.said_for = f" (a member or copy of {self.name})"
        return members

    @cached_property
    def target(self) -> Target:  # type: ignore[override]
        """Several labels where all members have been fitted on them."""
        targets = [member.target for member in self._members]
        return SEVERAL_LABELS if targets and all(each is SEVERAL_LABELS for each in targets) else super().target

    @cached_property
    def _is_multimodal(self) -> bool:
        return all(
            hasattr(member.final, "embed") and hasattr(member.final, "shapley_values") for member in self._members
        )

    @property
    def has_own_heads(self) -> bool:  # type: ignore[override]
        """Whether the members have heads of the modalities' own."""
        return self._is_multimodal

    def _aligned(self, member: Source, probabilities: np.ndarray) -> np.ndarray:
        return aligned(probabilities, _columns(self, member), len(self.final.classes_))

    @cached_property
    def probabilities(self) -> np.ndarray:
        """The committee's probabilities."""
        if type(self.final).__module__.partition(".")[0] != "modAL":  # it may have a consensus of its own
            return super().probabilities
        return np.mean([self._aligned(member, member.probabilities) for member in self._members], axis=0)

    @cached_property
    def probabilities_by_modality(self) -> Mapping[str, np.ndarray]:
        """The mean of the members' probabilities by modality."""
        if not self._is_multimodal:
            return super().probabilities_by_modality
        parts = [
            {name: self._aligned(member, own) for name, own in member.probabilities_by_modality.items()}
            for member in self._members
        ]
        return {name: np.mean([part[name] for part in parts], axis=0) for name in parts[0]}

    @cached_property
    def contributions(self) -> np.ndarray:
        """Contributions to the committee's class."""
        if not self._is_multimodal:
            return super().contributions
        predicted = self.target.decided(self.probabilities)
        return contributions(np.mean([self._shapley_values(member, predicted) for member in self._members], axis=0))

    def _shapley_values(self, member: Source, predicted: np.ndarray) -> np.ndarray:
        """Shapley values of each row's class, shape (N, M); zero where a member has never met it."""
        if self.target is SEVERAL_LABELS:
            predicted = predicted[:, _columns(self, member)]
            return _in_order(self, member, member.shapley_values(predicted)[0])  # type: ignore[attr-defined]
        columns = np.asarray(_columns(self, member))
        own = np.full(len(self.final.classes_), -1)
        own[columns] = np.arange(len(columns))
        targets = own[predicted]
        found = _in_order(self, member, member.shapley_values(np.maximum(targets, 0))[0])  # type: ignore[attr-defined]
        return np.where((targets >= 0)[:, None], found, 0.0)

    @cached_property
    def _embedded(self) -> dict[str, np.ndarray]:
        if not self._is_multimodal:
            return super()._embedded
        share = 1.0 / np.sqrt(len(self._members))
        parts = [dict(zip(member.modality_names, member.blocks, strict=True)) for member in self._members]
        return {name: share * np.hstack([part[name] for part in parts]) for name in parts[0]}

    @cached_property
    def present(self) -> np.ndarray:
        """Which row has which modality."""
        return self._members[0].present if self._is_multimodal else super().present

    @property
    def blocks(self) -> Sequence[np.ndarray]:
        """What the members see of each modality."""
        return list(self._embedded.values())

    def logits_at(self, head: str, features: np.ndarray) -> np.ndarray | None:
        """Log-probabilities of a committee that sees X itself."""
        return None if self._is_multimodal else super().logits_at(head, features)

    def draws(
        self, head: str, n_draws: int, rng: np.random.RandomState, source: str, joint: bool
    ) -> Iterator[np.ndarray] | None:
        """Probabilities by the members."""
        if source not in ("auto", "committee"):
            return Source.draws(self, head, n_draws, rng, source, joint)
        return (self._aligned(member, _of_head(member, head)) for member in self._members)


def _columns(committee: Source, member: Source) -> list[int]:
    """Where a member's classes stand among the committee's."""
    columns = {name: column for column, name in enumerate(committee.final.classes_)}
    return [columns[name] for name in member.final.classes_]


def _in_order(committee: Source, member: Source, phi: np.ndarray) -> np.ndarray:
    """What a member has of each modality, in the committee's order."""
    return phi[:, [member.modality_names.index(name) for name in committee.modality_names]]


def _of_head(member: Source, head: str) -> np.ndarray:
    probabilities = member.probabilities if head == FUSED else member.probabilities_by_modality[head]
    return member.target.checked(probabilities) if head == FUSED else probabilities
