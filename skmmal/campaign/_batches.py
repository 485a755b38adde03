"""Batches out: who may be handed out, the round's model, and what is kept of it."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skmmal._arrays import integer
from skmmal._store import fsync_folder
from skmmal._version import versions
from skmmal.campaign._batch import Pick, batch_table, choose, mix_in, read_candidates
from skmmal.campaign._files import CampaignError, digest, write_new
from skmmal.campaign._folder import CampaignFolder
from skmmal.campaign._settings import (
    Settings,
    check_included,
    describe_strategy,
    strategy_name,
)
from skmmal.campaign._source import describe, same_features
from skmmal.campaign._stamp import stamp
from skmmal.campaign._state import MODEL, NEXT, STOP_SET, State
from skmmal.campaign.formats._csv import csv_bytes
from skmmal.classifier import LateFusionClassifier
from skmmal.experiment._problem import random_seed
from skmmal.experiment._rounds import seeded
from skmmal.experiment._unit import one_thread
from skmmal.modalities import MultimodalArray
from skmmal.query import QueryStrategy
from skmmal.reading import Reading
from skmmal.stopping import RoundState

__all__ = ["BatchesMixin", "NothingLeftError"]


class NothingLeftError(ValueError):
    """Every row is labelled, handed out, held out or set aside."""


class BatchesMixin(CampaignFolder):
    """Verbs about batches: hand out the next one, bring back the model that chose one."""

    def next_batch(
        self,
        n_instances: int | None = None,
        *,
        round: int | None = None,
        strategy: Any = None,
        random_fraction: float | None = None,
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
            Default: the campaign's. Where fewer rows are left, those.
        round : int, optional
            Number of the round that is meant. If it is there already its batch is returned and nothing changes: a
            script that was killed can repeat the call.
        strategy : str or QueryStrategy, optional
            For this round, instead of the campaign's.
        random_fraction : float, optional
            For this round: share that is drawn at random.
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
        """
        asked = {
            "n_instances": n_instances,
            "strategy": strategy,
            "random_fraction": random_fraction,
            "class_balance": class_balance,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        settings = replace(self.settings, **given).checked()
        include = check_included(include)
        with self._changing("next") as state:
            n_done = len(state.rounds)
            if round is not None and integer(round, "round", 1) <= n_done:
                return state.batches[round - 1].copy()
            if round is not None and round != n_done + 1:
                raise ValueError(f"round {round} is not the next one; {n_done} rounds are done")
            started = time.perf_counter()
            with one_thread():  # the last bits depend on the number of threads, and next.csv must not
                receipt, table, stop_set, model = self._make_round(state, settings, include, allow_changed_features)

            def fill(path: Path) -> None:
                write_new(path / NEXT, csv_bytes(table))
                if model is not None:
                    write_new(path / STOP_SET, csv_bytes(stop_set))
                    model.save(path / MODEL)
                    fsync_folder(path / MODEL)

            seconds = float(np.round(time.perf_counter() - started, 3))
            self._append(state, receipt, stamp(by, seconds=seconds), fill)
            return self.state().batches[-1].copy()

    def model(self, round: int | None = None) -> LateFusionClassifier:
        """Model that chose a round's batch.

        Parameters
        ----------
        round : int, optional
            Default: the last round that had one.

        Returns
        -------
        LateFusionClassifier
            For features scaled as in the campaign (see `scaled_features`).

        Raises
        ------
        ValueError
            There is none.
        """
        entries = [entry for entry in self.state().rounds if entry.receipt["model"] is not None]
        if round is not None:
            entries = [entry for entry in entries if entry.receipt["round"] == round]
        if not entries:
            raise ValueError(f"there is no model of round {round}" if round is not None else "no round had a model yet")
        entries[-1].verify()
        return LateFusionClassifier.load(entries[-1].path / MODEL)

    def _make_round(
        self, state: State, settings: Settings, include: list[str], allow_changed_features: bool
    ) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, LateFusionClassifier | None]:
        number, seed = len(state.rounds) + 1, settings.seed
        described = describe(self._features)
        if not allow_changed_features:
            before = state.rounds[-1].receipt["features"] if state.rounds else self._config["features"]["described"]
            same_features(described, before)
        all_ids = self._all_ids()
        gone = [name for name in state.labels.index if name not in all_ids]
        if gone:
            raise CampaignError(f"{len(gone)} ids with labels are no longer among the features, the first: {gone[0]!r}")
        X, ids = self.scaled_features()
        rows = _sort_rows(ids, state, self._validation["id"], include)
        model = None
        if len(np.unique(rows.y)) > 1:
            model = seeded(settings.estimator, "campaign", seed, "fit", number)
            model.fit(X[rows.labeled], rows.y, classes=np.array(state.classes, dtype=str))
        strategy = settings.strategy if model is not None else settings.initial
        pick, pool = _pick(X, rows, model, strategy, state.class_counts, number, settings)
        table = batch_table(ids, pick, X, model)
        measured, stop_set = self._measure(model, X, ids, rows, pool)
        receipt = {
            "kind": "round",
            "round": number,
            "strategy": describe_strategy(strategy),
            "cold_start": model is None,
            "n_instances": len(table),
            "random_fraction": settings.random_fraction,
            "class_balance": settings.class_balance,
            "include": include,
            "seed": seed,
            "random_seeds": {what: random_seed("campaign", seed, what, number) for what in ("fit", "query", "slice")},
            "features": described,
            "n_candidates": len(rows.candidates),
            "excluded": {
                "pending": rows.counts["pending"],
                "validation": rows.counts["validation"],
                "without any modality": described["n_samples"] - len(ids),
                **{name: rows.counts[name] for name in ("label", "skip", "unsure", "conflict")},
            },
            "labels": {
                "n": len(rows.y),
                "sha256": digest(csv_bytes(state.labels.reset_index())),
                "classes": state.class_counts,
            },
            "model": measured,
            "versions": versions(),
        }
        return receipt, table, stop_set, model

    def _measure(
        self,
        model: LateFusionClassifier | None,
        X: MultimodalArray,
        ids: np.ndarray,
        rows: _Rows,
        pool: _Pool,
    ) -> tuple[dict[str, Any] | None, pd.DataFrame]:
        """What the receipt says of the model, and its predictions on the stop set."""
        if model is None:
            return None, pd.DataFrame()
        stop_set = self._stop_set()
        in_stop_set = {i: ids[row] for i, row in enumerate(rows.unlabeled) if ids[row] in stop_set}
        known = self._validation[self._validation["id"].isin(ids)]
        accuracy = None
        if len(known):
            held_out = pd.Index(ids).get_indexer(pd.Index(known["id"]))
            accuracy = float((model.predict(X[held_out]) == known["label"].to_numpy(dtype=str)).mean())
        probabilities = pool.probabilities(model, X, rows.unlabeled)
        summary = RoundState.from_probabilities(0, len(rows.y), probabilities, model.classes_, in_stop_set)
        predicted = Counter(model.classes_[probabilities.argmax(axis=1)].tolist())
        measured = {
            "n_labeled": len(rows.y),
            "n_iter": int(model.n_iter_),
            "mean_confidence": summary.mean_confidence,
            "mean_entropy": summary.mean_entropy,
            "validation_accuracy": accuracy,
            "n_validation": len(known),
            "predicted_in_pool": {str(name): predicted.get(str(name), 0) for name in model.classes_},
        }
        assert summary.predictions is not None
        return measured, summary.predictions.rename("predicted").rename_axis("id").reset_index()


@dataclass
class _Rows:
    """Rows of the features: those that are labelled, with their labels, the others, and who may be handed out."""

    labeled: np.ndarray
    y: np.ndarray
    unlabeled: np.ndarray
    candidates: np.ndarray
    counts: dict[str, int]


@dataclass
class _Pool:
    """The rows among which the strategy chose, in ascending order, and what the model says of them."""

    rows: np.ndarray
    reading: Reading | None

    def probabilities(self, model: LateFusionClassifier, X: MultimodalArray, rows: np.ndarray) -> np.ndarray:
        """Class probabilities of rows of X, ascending, that include the pool; the others only are read anew."""
        found = np.empty((len(rows), len(model.classes_)))
        is_read = np.isin(rows, self.rows) if self.reading is not None else np.zeros(len(rows), dtype=bool)
        if self.reading is not None:
            found[is_read] = self.reading.head.probabilities
        if not is_read.all():
            found[~is_read] = model.predict_proba(X[rows[~is_read]])
        return found


def _sort_rows(ids: np.ndarray, state: State, held_out: pd.Series, include: list[str]) -> _Rows:
    names = pd.Index(ids)
    settled = state.labels["state"].reindex(names).fillna("").to_numpy()
    in_state = {name: settled == name for name in ("label", "skip", "unsure", "conflict")}
    in_state["pending"] = names.isin(state.pending)
    in_state["validation"] = names.isin(held_out)
    unlabeled = ~in_state["validation"] & ~in_state["label"]
    labeled = np.flatnonzero(in_state["label"] & ~in_state["validation"])
    free = unlabeled.copy()
    for name in ("pending", "skip", "unsure", "conflict"):
        if name not in include:
            free &= ~in_state[name]
    counts = {name: int(mask.sum()) for name, mask in in_state.items()}
    if not free.any():
        aside = counts["skip"] + counts["unsure"] + counts["conflict"]
        raise NothingLeftError(
            f"nothing is left to hand out: of {len(ids)} rows {len(labeled)} are labelled, {counts['pending']} are "
            f"handed out and not answered yet, {counts['validation']} are in the validation set, {aside} are skipped, "
            "unsure or in conflict (include, --also, hands those out once more)"
        )
    y = state.labels["label"].reindex(names[labeled]).to_numpy(dtype=str)
    return _Rows(labeled, y, np.flatnonzero(unlabeled), np.flatnonzero(free), counts)


def _pick(
    X: MultimodalArray,
    rows: _Rows,
    model: LateFusionClassifier | None,
    strategy: QueryStrategy,
    class_counts: dict[str, int],
    number: int,
    settings: Settings,
) -> tuple[Pick, _Pool]:
    key = ("campaign", settings.seed)
    n = min(settings.n_instances, len(rows.candidates))
    n_random = math.ceil(settings.random_fraction * n - 1e-9)
    rng = np.random.RandomState(random_seed(*key, "slice", number))
    # the slice comes first, from all candidates: what the strategy likes must not change who is in it
    drawn = np.sort(rng.permutation(len(rows.candidates))[:n_random])
    pick = Pick(np.empty(0, dtype=np.intp), np.empty(0), np.empty(0, dtype=object))
    pool = _Pool(np.delete(rows.candidates, drawn), None)
    if n > n_random:
        asked = seeded(settings.estimator, *key, "fit", number) if model is None else model
        pool.reading = read_candidates(asked, X, pool.rows, rows.labeled, rows.y)
        pick = choose(
            seeded(strategy, *key, "query", number),
            asked,
            X,
            pool.rows,
            rows.labeled,
            rows.y,
            n - n_random,
            name=strategy_name(strategy),
            class_counts=class_counts if settings.class_balance and model is not None else None,
            reading=pool.reading,
        )
    return mix_in(pick, rows.candidates[drawn], rng), pool
