"""Batches out: who may be handed out, the round's model, and what is kept of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skmmal._arrays import integer, number
from skmmal._store import fsync_folder
from skmmal._version import versions
from skmmal.campaign._answers import Answers, can_be_learned
from skmmal.campaign._batch import RANDOM_SLICE, RELABEL, Pick, batch_table, choose, mix_in, read_candidates
from skmmal.campaign._drift import compare_rows
from skmmal.campaign._files import CampaignError, digest, write_new
from skmmal.campaign._folder import COSTS, CampaignFolder
from skmmal.campaign._log import Entry
from skmmal.campaign._measures import Measures
from skmmal.campaign._on_workers import Rows, ScaledRows
from skmmal.campaign._pool import Pool
from skmmal.campaign._relabel import Scale, on_one_scale, take_again
from skmmal.campaign._rows import NothingLeftError, SortedRows, excluded, sort_rows
from skmmal.campaign._settings import (
    INCLUDABLE,
    Settings,
    check_included,
    describe_strategy,
    strategy_name,
)
from skmmal.campaign._source import describe, same_features
from skmmal.campaign._stamp import stamp
from skmmal.campaign._state import MODEL, NEXT, SCORE, SCORES, STOP_SET, State
from skmmal.campaign._units import Limits, Units, draw_units
from skmmal.campaign.formats._csv import csv_bytes
from skmmal.classifier import LateFusionClassifier
from skmmal.distributed import ShardedPool
from skmmal.experiment._problem import random_seed
from skmmal.experiment._rounds import seeded
from skmmal.experiment._unit import one_thread
from skmmal.query import QueryStrategy

__all__ = ["BatchesMixin", "NothingLeftError"]


class BatchesMixin(CampaignFolder):
    """Verbs about batches: hand out the next one, bring back the model that chose one."""

    def next_batch(
        self,
        n_instances: int | None = None,
        *,
        max_rows: int | None = None,
        budget: float | None = None,
        round: int | None = None,
        strategy: Any = None,
        random_fraction: float | None = None,
        relabel_fraction: float | None = None,
        class_balance: bool | None = None,
        include: Sequence[str] = (),
        allow_changed_features: bool = False,
        by: str | None = None,
    ) -> pd.DataFrame:
        """Hand out the next batch.

        Ids that are labelled, skipped, unsure, in conflict, handed out and not answered yet, or in the validation set
        are left out.

        Parameters
        ----------
        n_instances : int, optional
            Default: the campaign's, or, with a budget, no limit. Where fewer rows are left, those. Where the campaign
            has groups it counts groups: a group is handed out whole, as far as its rows are free.
        max_rows : int, optional
            How many rows at most, where groups are handed out. Default: the campaign's. A group that does not fit in
            the rest is passed over.
        budget : float, optional
            What the batch may cost, in the unit of the campaign's costs; without such costs, in seconds (see `costs`).
        round : int, optional
            Number of the round that is meant. If it is there already its batch is returned and nothing changes: a
            script that was killed can repeat the call.
        strategy : str or QueryStrategy, optional
            For this round, instead of the campaign's.
        random_fraction : float, optional
            For this round: share that is drawn at random.
        relabel_fraction : float, optional
            For this round: share, at most, of labelled rows that are handed out once more, for another answer
            (``chosen_by`` is ``relabel``). Doubted labels and new rows stand on one scale, that of ActiveLab [1]_: as
            many labelled rows are among them as are among the first `n_instances` of all. Needs cleanlab (the extra
            ``noise``) and fits the model five times more.
        class_balance : bool, optional
            For this round: prefer rows of rare classes.
        include : sequence of {"pending", "skip", "unsure", "conflict"}, default=()
            States whose ids may be handed out once more.
        allow_changed_features : bool, default=False
            Go on with features that have changed since the last round.
        by : str, optional
            Who asks. Default: the user.

        Returns
        -------
        DataFrame
            See `skmmal.campaign.batch_table`. The same state gives the same bytes in ``next.csv``.

        Raises
        ------
        ValueError
            Nothing is left to hand out, features have changed, or `round` is not the next one.
        TimeoutError
            Another process holds the campaign.

        References
        ----------
        .. [1] Goh and Mueller, "ActiveLab: active learning with re-labeling by multiple annotators", ICLR 2023 workshop
           on trustworthy ML, section 3.
        """
        asked = {
            "n_instances": n_instances,
            "max_rows": max_rows,
            "strategy": strategy,
            "random_fraction": random_fraction,
            "relabel_fraction": relabel_fraction,
            "class_balance": class_balance,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        settings = replace(self.settings, **given).checked()
        if budget is not None:
            budget = number(budget, "budget", 0.0)
        has_limit = n_instances is not None or budget is None
        limits = Limits(settings.n_instances if has_limit else None, settings.max_rows, budget)
        include = check_included(include)
        with self._changing("next") as state:
            n_done = len(state.rounds)
            if round is not None and integer(round, "round", 1) <= n_done:
                return state.batches[round - 1].copy()
            if round is not None and round != n_done + 1:
                raise ValueError(f"round {round} is not the next one; {n_done} rounds are done")
            started = time.perf_counter()
            try:
                with one_thread():  # the last bits depend on the number of threads, and next.csv must not
                    made = self._make_round(state, settings, limits, include, allow_changed_features)
            finally:
                self._release()
            receipt, tables, model = made

            def fill(path: Path) -> None:
                for name, table in tables.items():
                    write_new(path / name, csv_bytes(table))
                if isinstance(model, LateFusionClassifier):
                    model.save(path / MODEL)
                    fsync_folder(path / MODEL)

            seconds = float(np.round(time.perf_counter() - started, 3))
            self._append(state, receipt, stamp(by, seconds=seconds), fill)
            return self.state().batches[-1].copy()

    def model(self, round: int | None = None) -> Any:
        """Model that chose a round's batch.

        Parameters
        ----------
        round : int, optional
            Default: the last round that had one.

        Returns
        -------
        LateFusionClassifier or regressor
            For features scaled as in the campaign (see `scaled_features`). A regressor is not kept: it is fitted once
            more, on the same labels.

        Raises
        ------
        ValueError
            There is none, or a regressor's features are others by now.
        """
        entries = [entry for entry in self.state().rounds if entry.receipt["model"] is not None]
        if round is not None:
            entries = [entry for entry in entries if entry.receipt["round"] == round]
        if not entries:
            raise ValueError(f"there is no model of round {round}" if round is not None else "no round had a model yet")
        entries[-1].verify()
        if self.settings.answers.numbers:
            return self._model_again(entries[-1])
        return LateFusionClassifier.load(entries[-1].path / MODEL)

    def _model_again(self, entry: Entry) -> Any:
        """A round's regressor, fitted on the labels that were known before the round."""
        before = State(self.state().entries[: entry.number - 1], [], self.settings.answers)
        if describe(self._features)["sha256"] != entry.receipt["features"]["sha256"]:
            raise ValueError(
                f"the features have changed since round {entry.receipt['round']}: its model cannot be fitted once more"
            )
        X, ids = self.scaled_features()
        with one_thread():
            rows = sort_rows(ids, before, self._validation["id"], list(INCLUDABLE))
            return self._fitted(before, self.settings, X, rows, int(entry.receipt["round"]))

    def _fitted(self, state: State, settings: Settings, X: Rows, rows: SortedRows, number: int) -> Any:
        """Model of a round; ``None`` where there is too little to learn from."""
        if not can_be_learned(rows.y):
            return None
        model = seeded(settings.estimator, "campaign", settings.seed, "fit", number)
        return state.answers.fit(model, X[rows.labeled], rows.y, state.classes)

    def _make_round(
        self, state: State, settings: Settings, limits: Limits, include: list[str], allow_changed_features: bool
    ) -> tuple[dict[str, Any], dict[str, pd.DataFrame], Any]:
        number, seed = len(state.rounds) + 1, settings.seed
        if isinstance(self._features.X, ShardedPool):
            settings.check_on_workers(budget=limits.budget)
        before = state.rounds[-1].receipt["features"] if state.rounds else self._config["features"]["described"]
        described = describe(self._features, before)
        if not allow_changed_features:
            described = same_features(self._features, described, before)
        all_ids = self._all_ids()
        gone = [name for name in state.labels.index if name not in all_ids]
        if gone:
            raise CampaignError(f"{len(gone)} ids with labels are no longer among the features, the first: {gone[0]!r}")
        X, ids = self.scaled_features()
        drift = self._drift(described, ids)
        rows = sort_rows(ids, state, self._validation["id"], include)
        model = self._fitted(state, settings, X, rows, number)
        strategy = settings.strategy if model is not None else settings.initial
        priced = COSTS in self._config["files"] or limits.budget is not None
        costs = self._costs(ids, state).to_numpy() if priced else None
        units = Units(self._groups(ids), costs, settings.group_score)
        scale = self._scale(state, settings, X, ids, rows, model)
        pick, pool = _pick(X, rows, model, strategy, state.class_counts, number, settings, units, limits, scale)
        table = state.answers.as_handed_out(batch_table(ids, pick, X, model))
        tables = {NEXT: _marked(_with_units(table, pick, units), state)}
        if model is not None and state.answers.multilabel:
            tables[SCORES] = _slice_scores(model, X, ids, pick)
        measured, stop_set = self._measure(state.answers, model, X, ids, rows, pool)
        if model is not None:
            tables[STOP_SET] = stop_set
        receipt = {
            "kind": "round",
            "round": number,
            "strategy": describe_strategy(strategy),
            "cold_start": model is None,
            "n_instances": len(pick.rows),
            "random_fraction": settings.random_fraction,
            "class_balance": settings.class_balance,
            "include": include,
            "seed": seed,
            "random_seeds": {what: random_seed("campaign", seed, what, number) for what in ("fit", "query", "slice")},
            "features": described,
            **({"drift": drift} if drift else {}),
            "n_candidates": len(rows.candidates),
            "excluded": excluded(rows, described["n_samples"] - len(ids)),
            "labels": {
                "n": len(rows.y),
                "sha256": digest(csv_bytes(state.labels.reset_index())),
                "classes": state.class_counts,
            },
            "model": measured,
            "versions": versions(),
            **_used(units, limits, rows, pick),
            **_relabeled(settings, pick, scale),
        }
        return receipt, tables, model

    def _scale(
        self, state: State, settings: Settings, X: Rows, ids: np.ndarray, rows: SortedRows, model: Any
    ) -> Scale | None:
        """Labels that are doubted and new rows on one scale, where some are to be handed out once more."""
        if not settings.relabel_fraction or model is None:
            return None
        seed, held_out = settings.seed, self._validation["id"]
        estimator = seeded(settings.estimator, "campaign", seed, "relabel", len(state.rounds) + 1)
        return on_one_scale(state, estimator, X, ids, held_out, rows.candidates, model, seed)

    def _drift(self, described: dict[str, Any], ids: np.ndarray) -> list[dict[str, Any]]:
        """How rows that came since the last round differ from those that were there; none: none came."""
        if "grown_from" not in described:
            return []
        before = set(self._features.ids[: described["grown_from"]])
        n_before = sum(name in before for name in ids)
        rows = pd.Index(self._features.ids).get_indexer(pd.Index(ids))
        if n_before in (0, len(ids)):
            return []
        drawn = random_seed("campaign", self.settings.seed, "drift")
        if isinstance(self._features.X, ShardedPool):
            return compare_rows(ScaledRows(self._features.X, rows, "none"), n_before, seed=drawn)
        return compare_rows(self._features.X[rows], n_before, seed=drawn)

    def _measure(
        self,
        answers: Answers,
        model: Any,
        X: Rows,
        ids: np.ndarray,
        rows: SortedRows,
        pool: Pool,
    ) -> tuple[dict[str, Any] | None, pd.DataFrame]:
        """What the receipt says of the model, and its predictions on the stop set."""
        if model is None:
            return None, pd.DataFrame()
        stop_set = self._stop_set()
        in_stop_set = [i for i, row in enumerate(rows.unlabeled) if ids[row] in stop_set]
        known = self._validation[self._validation["id"].isin(ids)]
        on_validation, names = Measures(), [] if answers.numbers else model.classes_.tolist()
        predicted: np.ndarray = np.empty(0, dtype=object)
        if len(known):
            scores, predicted = answers.ask(model, X[pd.Index(ids).get_indexer(pd.Index(known["id"]))])
            on_validation = answers.measures(known["label"].tolist(), predicted, names, scores)
        tally, predicted_there = pool.summed(answers, model, X, rows.unlabeled, in_stop_set)
        of_stop_set = dict(zip(ids[rows.unlabeled[in_stop_set]], predicted_there, strict=True))
        summary = answers.summary(len(rows.y), tally, names, of_stop_set)
        of_labels = {}
        if answers.multilabel:
            compared = rows.unlabeled[in_stop_set]
            probabilities = model.predict_proba(X[compared]) if len(compared) else np.empty((0, len(names)))
            of_labels = answers.of_labels(names, probabilities, known["label"].tolist(), predicted)
        measured = {
            "n_labeled": len(rows.y),
            **({} if answers.numbers else {"n_iter": int(model.n_iter_)}),
            "mean_confidence": summary.mean_confidence,
            "mean_entropy": summary.mean_entropy,
            "validation_accuracy": on_validation.accuracy,
            "n_validation": on_validation.n,
            **answers.in_pool(tally, names),
            **({"validation": on_validation.more} if on_validation.more else {}),
            **of_labels,
        }
        assert summary.predictions is not None
        return measured, summary.predictions.rename("predicted").rename_axis("id").reset_index()


def _pick(
    X: Rows,
    rows: SortedRows,
    model: Any,
    strategy: QueryStrategy,
    class_counts: dict[str, int],
    number: int,
    settings: Settings,
    units: Units,
    limits: Limits,
    scale: Scale | None = None,
) -> tuple[Pick, Pool]:
    key = ("campaign", settings.seed)
    if limits.n_units is not None:
        n_units = int(units.codes(rows.candidates).max()) + 1
        limits = replace(limits, n_units=min(limits.n_units, n_units))
    rng = np.random.RandomState(random_seed(*key, "slice", number))
    # the slice comes first, from all candidates: what the strategy likes must not change who is in it
    drawn, n_drawn = draw_units(units, rows.candidates, limits.part(settings.random_fraction), limits, rng)
    left = limits.less(n_drawn, len(drawn), units.cost(rows.candidates[drawn]))
    again = _NOBODY if scale is None else take_again(scale, settings.relabel_fraction, limits, left, units)
    left = left.less(len(again.rows), len(again.rows), units.cost(again.rows))
    pick = _NOBODY
    pool = Pool(np.delete(rows.candidates, drawn), None)
    if left.n_units != 0 and (len(drawn) + len(again.rows) == 0 or _has_room(units, pool.rows, left)):
        is_new = ~np.isin(rows.labeled, pool.rows)
        asked = seeded(settings.estimator, *key, "fit", number) if model is None else model
        if settings.answers.numbers:
            asked = None  # strategies go by the campaign's features, not by what a regressor's steps make of them
        y = rows.y[is_new] if model is not None or rows.y.ndim == 1 else None
        pool.reading = read_candidates(asked, X, pool.rows, rows.labeled[is_new], y)
        pick = choose(
            seeded(strategy, *key, "query", number),
            asked,
            X,
            pool.rows,
            rows.labeled,
            rows.y,
            left.n_units,
            name=strategy_name(strategy),
            class_counts=class_counts if settings.class_balance and model is not None else None,
            reading=pool.reading,
            asked=units.asked(pool.rows, left),
        )
    at_random = Pick(
        rows.candidates[drawn], np.full(len(drawn), np.nan), np.full(len(drawn), RANDOM_SLICE, dtype=object)
    )
    pick = mix_in(pick, at_random, rng, units.groups)
    return mix_in(pick, again, np.random.RandomState(random_seed(*key, "relabel", number))), pool


_NOBODY = Pick(np.empty(0, dtype=np.intp), np.empty(0), np.empty(0, dtype=object))


def _has_room(units: Units, rows: np.ndarray, limits: Limits) -> bool:
    """Whether one more unit fits."""
    codes = units.codes(rows)
    if not len(rows):
        return False
    costs = np.zeros(len(rows)) if units.costs is None else units.costs[rows]
    sizes, of_units = np.bincount(codes), np.bincount(codes, weights=costs)
    fits = np.ones(len(sizes), dtype=bool)
    if limits.max_rows is not None:
        fits &= sizes <= limits.max_rows
    if limits.budget is not None:
        fits &= of_units <= limits.budget
    return bool(fits.any())


def _with_units(table: pd.DataFrame, pick: Pick, units: Units) -> pd.DataFrame:
    """A batch's table, with the group and the cost of each row where there are such."""
    more = {}
    if units.groups is not None:
        more["group"] = units.groups[pick.rows]
    if units.costs is not None:
        more["cost"] = units.costs[pick.rows]
    return table.assign(**more)


def _marked(table: pd.DataFrame, state: State) -> pd.DataFrame:
    """A batch's table that says which rows were handed out or answered before, where there are such."""
    before = {*state.labels.index, *(name for batch in state.batches for name in batch["id"])}
    again = table["id"].isin(before)
    number = str(len(state.rounds) + 1)
    return table.assign(again=np.where(again, number, "")) if again.any() else table


def _relabeled(settings: Settings, pick: Pick, scale: Scale | None) -> dict[str, Any]:
    """What a receipt says of rows that are handed out once more because of their labels, where that was asked for."""
    if not settings.relabel_fraction:
        return {}
    n_checked = 0 if scale is None else len(scale.again)
    n = int((pick.chosen_by == RELABEL).sum())
    return {"relabel": {"fraction": settings.relabel_fraction, "n_checked": n_checked, "n": n}}


def _slice_scores(model: LateFusionClassifier, X: Rows, ids: np.ndarray, pick: Pick) -> pd.DataFrame:
    """Probabilities of the labels, for the rows that were drawn at random."""
    drawn = pick.rows[pick.chosen_by == RANDOM_SLICE]
    found = model.predict_proba(X[drawn]) if len(drawn) else np.empty((0, len(model.classes_)))
    table = pd.DataFrame(found, columns=[SCORE + str(name) for name in model.classes_])
    table.insert(0, "id", ids[drawn])
    return table


def _used(units: Units, limits: Limits, rows: SortedRows, pick: Pick) -> dict[str, Any]:
    """What a receipt says of groups and costs, where there are such."""
    used: dict[str, Any] = {}
    if units.groups is not None:
        n_groups, n_candidates = (len(set(units.groups[part])) for part in (pick.rows, rows.candidates))
        used["groups"] = {"n": n_groups, "n_candidates": n_candidates, "score": units.score}
    if limits.max_rows is not None:
        used["max_rows"] = limits.max_rows
    if units.costs is not None:
        used["costs"] = {"budget": limits.budget, "batch": units.cost(pick.rows)}
    return used
