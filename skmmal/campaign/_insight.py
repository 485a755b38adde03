"""What a campaign says of itself: labels, batches, log, when to stop, which labels look wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from skmmal._arrays import integer
from skmmal.campaign._folder import CampaignFolder
from skmmal.campaign._label_advice import advice_by_label
from skmmal.campaign._state import State, in_words
from skmmal.experiment._rounds import seeded
from skmmal.experiment._unit import one_thread
from skmmal.stopping import Advice, Budget, RoundState, StoppingCriterion

__all__ = ["InsightMixin", "refuse_numbers", "stopping_advice"]


class InsightMixin(CampaignFolder):
    """Tables and advice, made from the log each time they are asked for."""

    @property
    def labels(self) -> pd.DataFrame:
        """Every id that someone said something about, settled by majority, or by an authority's word.

        Indexed by id: ``state`` (``label``, ``skip``, ``unsure``, ``conflict``), ``label``, ``n_annotators``,
        ``n_votes``, ``agreement``. Where rows have several labels, ``label`` holds them with bars between them, and
        ``?`` before those that are not settled; an empty one with the state ``label``: no label applies. Where labels
        are numbers, ``label`` is the median of what was said, as text, and ``spread`` the largest less the smallest.
        """
        return self.state().labels.copy()

    def indicator(self) -> pd.DataFrame:
        """Which labels every answered row has, as estimators take it.

        Returns
        -------
        DataFrame of float64, shape (n_answered, n_classes)
            Indexed by id, a column for each label (or class): one, zero, and NaN where it is not known or not settled.

        Raises
        ------
        ValueError
            Labels are numbers.
        """
        state = self.state()
        refuse_numbers(state, "an indicator matrix")
        known = state.answers.known(state.labels)
        if state.answers.multilabel:
            return pd.DataFrame(state.answers.target(known, state.classes), known.index, state.classes)
        columns = {name: (known == name).astype(np.float64) for name in state.classes}
        return pd.DataFrame(columns, known.index)

    def costs(self) -> pd.Series:
        """What labelling each row costs, in the unit that the campaign was begun with, or in seconds.

        Returns
        -------
        Series of float64
            Indexed by id: declared when the campaign was begun, or else the time that the answers took (the median over
            annotators), as Label Studio's exports say it; the median of those known for rows of which it is not known.

        Raises
        ------
        ValueError
            Nothing is declared, and no label came with its time.
        """
        ids = np.asarray([str(name) for name in self._features.ids], dtype=object)
        return self._costs(ids, self.state())

    @property
    def history(self) -> pd.DataFrame:
        """Every label received, in order of arrival, with annotator, time, and the entry it came in."""
        return self.state().events.copy()

    @property
    def batches(self) -> pd.DataFrame:
        """Every row handed out: the batch tables, with ``round`` before and ``state`` and ``label`` behind."""
        state = self.state()
        if not state.rounds:
            return pd.DataFrame(columns=["round", "id", "rank", "score", "chosen_by", "state", "label"])
        numbers = [entry.receipt["round"] for entry in state.rounds]
        tables = [batch.assign(round=number) for number, batch in zip(numbers, state.batches, strict=True)]
        table = pd.concat(tables, ignore_index=True)
        table["state"] = state.labels["state"].reindex(table["id"]).fillna("pending").to_numpy()
        table["label"] = state.labels["label"].reindex(table["id"]).fillna("").to_numpy()
        return table[["round", *(name for name in table.columns if name != "round")]]

    @property
    def log(self) -> pd.DataFrame:
        """Every entry: entry, kind, what, when, by, undone_by."""
        state = self.state()
        lines = [
            (
                entry.number,
                entry.kind,
                in_words(entry),
                entry.stamp.get("when"),
                entry.stamp.get("by"),
                state.undone.get(entry.number, ""),
            )
            for entry in state.entries
        ]
        return pd.DataFrame(lines, columns=["entry", "kind", "what", "when", "by", "undone_by"])

    @property
    def conflicts(self) -> pd.DataFrame:
        """Ids whose annotators disagree: ``id``, ``settled`` (the label, if settled), ``said`` (who said what).

        Where rows have several labels, ``labels`` says which ones they differ about; of numbers, ``spread`` how far.
        """
        return self.state().conflicts

    def agreement(self) -> dict[str, Any]:
        """How far annotators agree, on the ids that several of them labelled.

        Returns
        -------
        dict
            ``n_several`` (ids with two labels or more), ``n_unanimous``, ``n_differ``, ``by_annotator``, ``fleiss``
            (Fleiss' κ), ``n_fleiss``, ``pairs`` (Cohen's κ of each two annotators). Where rows have several labels
            the κ are means over the labels, shares are of rows times labels, and ``labels`` holds each label's. Where
            labels are numbers there is ``alpha`` (Krippendorff's, of squared differences) instead of κ, shares are of
            numbers that differ by at most the campaign's tolerance (without one: that are equal), and ``pairs`` have
            ``difference`` (mean), ``mean_absolute_difference`` and ``correlation``.
        """
        return self.state().agreement

    def stopping_history(self) -> list[RoundState]:
        """Rounds that had a model, as `skmmal.stopping` sees them.

        Returns
        -------
        list of RoundState
            In order.
        """
        return self.state().history

    def advice(self) -> list[Advice]:
        """What the campaign's stopping criteria say. It is advice: nothing stops by itself.

        Returns
        -------
        list of Advice
            One for each criterion.
        """
        return stopping_advice(self.state(), self.settings.stopping)

    def advice_by_label(self) -> pd.DataFrame:
        """What the stopping criteria say of each label by itself, where rows have several.

        Returns
        -------
        DataFrame
            ``label``, ``criterion``, ``stop`` (``True``, ``False``, or ``None``: nothing can be said yet), ``value``,
            ``sentence``. A criterion that looks at no model, such as a budget, is left out. Confidence and entropy are
            means over the rows of the stop set. Empty as long as no round had a model.

        Raises
        ------
        ValueError
            Rows have one class, or a number.
        """
        state = self.state()
        if not state.answers.multilabel:
            raise ValueError(
                "advice by label is for campaigns whose rows have several labels (multilabel=True, --multilabel)"
            )
        return advice_by_label(state, self.settings.stopping)

    def doubts(self, n: int | None = None, *, n_folds: int = 5) -> pd.DataFrame:
        """List the labels that the model doubts most: worth a second look.

        Parameters
        ----------
        n : int, optional
            How many. Default: all that could be checked.
        n_folds : int, default=5
            Of the cross-validation.

        Returns
        -------
        DataFrame
            ``id``, ``label``, ``self_confidence`` (probability of the label under a model that was fitted without this
            row), ``predicted``, ``confidence`` (of the prediction), ``likely_wrong`` (confident learning; the column is
            there if cleanlab is installed, the extra ``noise``). Labels that are the only one of their class cannot be
            checked and are left out; ``attrs["unchecked"]`` says how many. Where rows have several labels there is a
            line for each row and label, with ``given`` (``yes``, ``no``) and ``predicted`` about it. Where labels are
            numbers: ``id``, ``label``, ``predicted`` (by a model that was fitted without the row), ``difference`` and
            ``deviation`` (the difference in robust standard deviations), the largest differences first.

        Raises
        ------
        ValueError
            Fewer than two classes have two labels, or no label has two rows that have it and two that have it not; or
            there are fewer than four numbers.
        """
        state = self.state()
        X, ids = self.scaled_features()
        known = state.answers.known(state.labels)
        labeled = np.flatnonzero(pd.Index(ids).isin(known.index))
        given = known.reindex(pd.Index(ids[labeled])).to_numpy(dtype=str)
        estimator = seeded(self.settings.estimator, "campaign", self.settings.seed, "fit", 0)
        options = {"n_folds": n_folds, "seed": self.settings.seed}
        with one_thread():
            table = state.answers.doubts(estimator, X[labeled], given, ids[labeled], state.classes, **options)
        return table if n is None else table.head(integer(n, "n", 1))


def refuse_numbers(state: State, what: str) -> None:
    if state.answers.numbers:
        raise ValueError(f"{what} is about classes, and the labels of this campaign are numbers")


def stopping_advice(state: State, criteria: Sequence[StoppingCriterion]) -> list[Advice]:
    # a budget counts the labels that came in since the last round, too
    n_labeled = len(state.ids_in_state("label"))
    last = state.history[-1] if state.history else RoundState(0, n_labeled)
    spent = [*state.history[:-1], replace(last, n_labeled=n_labeled)]
    return [criterion.advise(spent if isinstance(criterion, Budget) else state.history) for criterion in criteria]
