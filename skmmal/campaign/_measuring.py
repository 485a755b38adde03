"""Where a campaign stands, and what models have to be fitted for: whether choosing helps, how good annotators are."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pandas as pd

from skmmal._arrays import integer
from skmmal.campaign._batch import RANDOM_SLICE, RELABEL
from skmmal.campaign._benefit import FEWEST, Benefit, compare_with_random
from skmmal.campaign._crowd import annotator_quality, needs_cleanlab
from skmmal.campaign._files import CampaignError
from skmmal.campaign._insight import InsightMixin, refuse_numbers, stopping_advice
from skmmal.campaign._label_advice import add_label_advice
from skmmal.campaign._measurement import QUALITY, Measurement, basis, keep_measurement, read_measurement
from skmmal.campaign._relabel import questions
from skmmal.campaign._state import State
from skmmal.campaign._status import Status, make_status
from skmmal.experiment._rounds import seeded
from skmmal.experiment._unit import one_thread

__all__ = ["MeasuringMixin"]

LARGEST = 10_000_000
"""Labels × features × classes up to which ``measure="auto"`` measures: a minute or so of one core."""


class MeasuringMixin(InsightMixin):
    """The status, and the measurements that it shows."""

    def status(self, *, measure: bool | str = False, by_label: bool = False) -> Status:
        """Where the campaign stands.

        Parameters
        ----------
        measure : bool or "auto", default=False
            Whether to fit models, to say whether choosing helps (see `benefit`) and how good annotators are (see
            `annotator_quality`), which takes seconds to minutes. What they say is kept in the folder: a status that
            fits nothing shows it, and says so where the labels have changed since. ``"auto"``: measure where the
            labels have changed since, there are enough to say anything, and it is a matter of a minute or so.
            Where labels are numbers there is nothing to measure.
        by_label : bool, default=False
            Ask the stopping criteria about each label by itself, too (see `advice_by_label`).

        Returns
        -------
        Status
            Numbers, and the same in words. What cannot be measured is said in words.

        Raises
        ------
        ValueError
            `measure` is something else; or `by_label`, and rows have one class, or a number.
        """
        if measure not in (True, False, "auto"):
            raise ValueError(f"measure must be True, False or 'auto', got {measure!r}")
        state = self.state()
        n_samples = int(self._config["features"]["described"]["n_samples"])
        advice = stopping_advice(state, self.settings.stopping)
        found = make_status(self.folder, state, self.settings, n_samples, advice)
        if by_label:
            add_label_advice(found, self.advice_by_label())
        if state.answers.numbers:
            if measure is True:
                found.sentences.append("What is measured with --measure is about classes; labels here are numbers.")
            return found
        kept, is_damaged = None, False
        try:
            kept = read_measurement(self.folder)
        except CampaignError:  # a measurement replaces it
            if not measure:
                raise
            is_damaged = True
        if measure is True or (measure == "auto" and self._is_due(state, kept)):
            kept = self._measured(state)
            if is_damaged or kept.benefit is not None or kept.quality is not None:
                self._keep(kept)
        is_current = kept is not None and kept.basis == basis(state)
        _add_measurement(found, kept, is_current, can_compare=_n_drawn(state) >= FEWEST)
        return found

    def _keep(self, measurement: Measurement) -> None:
        try:
            with self._changing("measure"):
                keep_measurement(self.folder, measurement)
        except OSError as error:  # also a lock that another process holds
            measurement.reasons.append(f"What was measured is not kept: {error}.")

    def _measured(self, state: State) -> Measurement:
        """Fit all models, and say why what cannot be measured cannot be."""
        found = Measurement(basis(state), len(state.ids_in_state("label")), len(state.rounds))
        try:
            found.benefit = self._benefit(state, 5)
        except (ValueError, OSError) as error:  # too few labels, or the features are elsewhere
            found.reasons.append(f"Whether choosing helps cannot be said yet: {error}.")
        if state.events["annotator"].nunique() > 1:
            why = "no row was labelled by two"
            try:
                quality = self._annotator_quality(state)
                found.quality = quality if len(quality) else None
            except (ImportError, ValueError, OSError) as error:
                why = str(error)
            if found.quality is None:
                found.reasons.append(f"How good annotators are cannot be said: {why}.")
        return found

    def _is_due(self, state: State, kept: Measurement | None) -> bool:
        """Whether there is something new to measure that does not take long."""
        n_labels, n_drawn = len(state.ids_in_state("label")), _n_drawn(state)
        can_compare = n_drawn >= FEWEST and n_labels >= 2 * n_drawn
        can_judge = bool(state.agreement["n_several"]) and importlib.util.find_spec("cleanlab") is not None
        if not (can_compare or can_judge) or n_labels * self._features.X.shape[1] * len(state.classes) > LARGEST:
            return False
        return kept is None or kept.basis != basis(state)

    def benefit(self, *, n_folds: int = 5) -> Benefit:
        """Ask whether choosing helps: chosen labels against as many of rows that were drawn at random.

        It needs a campaign with a random slice in its batches (`random_fraction`).

        Parameters
        ----------
        n_folds : int, default=5
            Of the rows drawn at random: on each fold models are asked that did not see it.

        Returns
        -------
        Benefit
            Accuracy now, with an interval; the difference to random labels, with an interval; the share of labels that
            choosing has saved; and the same in sentences, which also say where choosing does not beat random rows.

        Raises
        ------
        ValueError
            There are too few labels of either kind; or labels are numbers.
        """
        return self._benefit(self.state(), integer(n_folds, "n_folds", 2))

    def _benefit(self, state: State, n_folds: int) -> Benefit:
        refuse_numbers(state, "benefit")
        X, ids = self.scaled_features()
        first = _answered(state)
        first = first[first["id"].isin(set(ids))]
        rows = pd.Index(ids).get_indexer(pd.Index(first["id"]))
        y = state.answers.target(state.answers.known(state.labels).reindex(first["id"]).tolist(), state.classes)
        is_random = (first["chosen_by"] == RANDOM_SLICE).to_numpy()
        options: dict[str, Any] = {"classes": state.classes, "n_folds": n_folds, "seed": self.settings.seed}
        with one_thread():
            return compare_with_random(self._unfitted(), X[rows], y, is_random, **options)

    def annotator_quality(self) -> pd.DataFrame:
        """Judge annotators by each other and by a model that did not see their labels (CROWDLAB [1]_).

        Returns
        -------
        DataFrame
            Indexed by annotator, the worst first: ``quality`` (about how often their labels are right, from 0 to 1),
            ``with_consensus`` (share of their labels that are what all of them and the model together say), ``n``
            (labels that were looked at), ``worst`` (the class, or label, in which they are worst). Empty where no row
            was labelled by two.

        Raises
        ------
        ImportError
            cleanlab is not installed (the extra ``noise``).
        ValueError
            There are too few labels to check any; or labels are numbers.

        References
        ----------
        .. [1] Goh, Tkachenko and Mueller, "CROWDLAB: supervised learning to infer consensus labels and quality scores
           for data with multiple annotators", NeurIPS 2022 workshop on human in the loop learning, section 3.
        """
        return self._annotator_quality(self.state())

    def _annotator_quality(self, state: State) -> pd.DataFrame:
        refuse_numbers(state, "the quality of annotators")
        needs_cleanlab("the quality of annotators")
        X, ids = self.scaled_features()
        with one_thread():
            _, votes, asked = questions(
                state, self._unfitted(), X, ids, self._validation["id"], seed=self.settings.seed
            )
            return annotator_quality(asked, votes.columns.tolist())

    def _unfitted(self) -> Any:
        return seeded(self.settings.estimator, "campaign", self.settings.seed, "fit", 0)


def _answered(state: State) -> pd.DataFrame:
    """Rows with a label, in the order in which they were handed out first, and what chose them then."""
    if not state.batches:
        return pd.DataFrame({"id": [], "chosen_by": []}, dtype=object)
    handed_out = pd.concat([batch[["id", "chosen_by"]] for batch in state.batches], ignore_index=True)
    first = handed_out[handed_out["chosen_by"] != RELABEL].drop_duplicates("id", keep="first")
    return first[first["id"].isin(state.answers.known(state.labels).index)]


def _n_drawn(state: State) -> int:
    """Rows with a label that were drawn at random."""
    return int(np.count_nonzero(_answered(state)["chosen_by"] == RANDOM_SLICE))


def _add_measurement(status: Status, kept: Measurement | None, is_current: bool, *, can_compare: bool) -> None:
    """Add what was measured, how old it is, and how to measure where that was not done.

    Parameters
    ----------
    status : Status
        Changed.
    kept : Measurement, optional
        The last one.
    is_current : bool
        Whether it is of the labels of today.
    can_compare : bool
        Whether there are enough labels of rows drawn at random to measure whether choosing helps.
    """
    if can_compare and (kept is None or (kept.benefit is None and not is_current)):
        status.sentences.append("Whether choosing helps: skmmal campaign status --measure says it, and fits models.")
    if kept is None:
        return
    n_now = status.counts["label"]
    status.measured = {
        "n_labels": kept.n_labels, "n_labels_now": n_now, "n_rounds": kept.n_rounds, "is_current": is_current,
    }  # fmt: skip
    if is_current:
        status.sentences += kept.reasons
    elif kept.benefit is not None or kept.quality is not None:
        status.sentences.append(
            f"What follows was measured of {kept.n_labels} labels after {kept.n_rounds} rounds; labels have come or "
            f"changed since, it is {n_now} now: skmmal campaign status --measure measures anew."
        )
    if kept.benefit is not None:
        status.benefit = kept.benefit
        status.sentences += kept.benefit.sentences
    if kept.quality is not None:
        status.annotators[QUALITY] = kept.quality[QUALITY].reindex(status.annotators.index)
        worst, best = kept.quality.iloc[0], kept.quality.iloc[-1]
        status.sentences.append(
            f"Judged by each other and by a model that did not see their labels, {worst.name}'s labels are least often "
            f"right (quality {worst['quality']:.2f}, worst about {worst['worst']}), {best.name}'s most often "
            f"({best['quality']:.2f})."
        )
