"""A labelling campaign on disk: hand out batches, take labels in, keep track of everything."""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skmmal._atomic import TEMPORARY, explained, fsync_folder
from skmmal._paths import local_path
from skmmal.campaign import _delivery, _incoming, _log, _source
from skmmal.campaign._files import (
    SEAL,
    CampaignError,
    check_folder,
    digest,
    dumps,
    read_checked,
    read_sealed,
    sealed,
    write_new,
)
from skmmal.campaign._lock import locked
from skmmal.campaign._settings import (
    Settings,
    as_strategy,
    check_count,
    check_fraction,
    check_included,
    describe_strategy,
    difference,
    strategy_name,
)
from skmmal.campaign._stamp import stamp, user_name, versions
from skmmal.campaign._state import MODEL, NEXT, RETRACTED, STOP_SET, State, read_table
from skmmal.campaign.batch import Pick, batch_table, choose, mix_in
from skmmal.campaign.doubts import find_doubts
from skmmal.campaign.exchange import mark, read_labels_file
from skmmal.campaign.status import Status, make_status
from skmmal.campaign.votes import agreement, conflicts
from skmmal.classifier import LateFusionClassifier
from skmmal.experiment.problem import random_seed
from skmmal.experiment.sources import Features, usable_rows
from skmmal.experiment.stopping import Advice, Budget, RoundState
from skmmal.experiment.unit import one_thread, seeded
from skmmal.modalities import MultimodalArray
from skmmal.preprocessing import ModalityScaler

__all__ = ["LabelingCampaign"]

FORMAT, VERSION = "skmmal-campaign", 1
CONFIG, STAMP, VALIDATION = "campaign.json", "stamp.json", "validation.csv"


class LabelingCampaign:
    """A labelling campaign in a folder, round after round, with an audit trail.

    The folder holds the configuration (``campaign.json``) and a log to which every command that changes something adds
    one entry, whole or not at all: a batch handed out, labels received, an entry undone. Nothing is changed or deleted
    afterwards. A killed command has either happened or not; two processes take turns; files that are damaged, edited
    or foreign are refused.

    Parameters
    ----------
    folder : path-like
        Of a campaign that `create` began.
    features : path-like, MultimodalArray, mapping or DataFrame, optional
        Where the features are, if they have moved, or the arrays themselves. Default: where they were.
    ids : sequence of str, optional
        Names of the rows, with arrays.
    lock_timeout : float, default=60.0
        Seconds to wait for another process that changes the campaign.

    Attributes
    ----------
    folder : Path
    settings : object
        What `create` was called with.

    Examples
    --------
    >>> import tempfile
    >>> from skmmal.campaign import LabelingCampaign
    >>> from skmmal.datasets import load_emoji
    >>> emoji = load_emoji()
    >>> truth = dict(zip(emoji.codepoints, emoji.target_names[emoji.target]))
    >>> folder = tempfile.TemporaryDirectory()
    >>> campaign = LabelingCampaign.create(
    ...     folder.name + "/emoji", emoji.data, ids=emoji.codepoints, initial="random", n_instances=40
    ... )
    >>> for _ in range(2):
    ...     batch = campaign.next_batch()
    ...     received = campaign.add_labels({name: truth[name] for name in batch["id"]}, annotator="ann")
    >>> campaign.status().counts["label"], received["new"]
    (80, 40)
    >>> folder.cleanup()
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        features: Any = None,
        ids: Any = None,
        lock_timeout: float = 60.0,
    ) -> None:
        self.folder = local_path(folder, "folder")
        self.lock_timeout = lock_timeout
        self._features_given, self._ids_given = features, ids
        self._config = _read_config(self.folder)
        self.settings = Settings.from_json(self._config["settings"])
        self._validation = self._read_validation()
        self._loaded: Features | None = None
        self._known: _log.Known = {}
        self.state()  # a damaged log is an error now

    @classmethod
    def open(cls, folder: str | os.PathLike[str], **options: Any) -> LabelingCampaign:
        """Open a campaign; the same as calling the class."""
        return cls(folder, **options)

    def __repr__(self) -> str:
        state = self.state()
        return (
            f"LabelingCampaign({str(self.folder)!r}: {len(state.rounds)} rounds, "
            f"{len(state.ids_in_state('label'))} labels, {len(state.pending)} pending)"
        )

    # ---------------------------------------------------------------------------------------------------- beginning

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike[str],
        features: Any,
        *,
        ids: Any = None,
        strategy: Any = "bmmal",
        initial: Any = "kmeans",
        estimator: LateFusionClassifier | None = None,
        scale: str = "standard",
        n_instances: int = 100,
        random_fraction: float = 0.0,
        class_balance: bool = False,
        classes: Sequence[str] | None = None,
        validation: Any = None,
        stopping: Any = None,
        seed: int = 0,
        n_stop_set: int = 2000,
        lock_timeout: float = 60.0,
    ) -> LabelingCampaign:
        """Begin a campaign, or go on with one that was begun with the same arguments.

        Parameters
        ----------
        folder : path-like
            A new or empty folder.
        features : path-like, MultimodalArray, mapping or DataFrame
            A feature cache or .npz file (kept by its path), or arrays (they have to be given again to `__init__`).
        ids : sequence of str, optional
            Names of the rows, with arrays.
        strategy : str or QueryStrategy, default="bmmal"
        initial : str or QueryStrategy, default="kmeans"
            Chooses as long as fewer than two classes have labels; one that needs no model.
        estimator : LateFusionClassifier, optional
        scale : {"standard", "l2", "none"}, default="standard"
            See `ModalityScaler`.
        n_instances : int, default=100
            Rows in a batch.
        random_fraction : float, default=0.0
            Share of every batch that is drawn at random, which gives an unbiased estimate of the accuracy.
        class_balance : bool, default=False
            Prefer rows of rare classes among the strategy's picks (see `skmmal.campaign.batch.balance_classes`).
        classes : sequence of str, optional
            All classes, where they are known. Default: those of the first labels.
        validation : labels, optional
            Labelled rows to measure on; they are never handed out. Their classes count as declared.
        stopping : list of StoppingCriterion or str, optional
            Default: stabilizing predictions, classification change, overall uncertainty.
        seed : int, default=0
        n_stop_set : int, default=2000
            Rows, drawn once, on which the models of successive rounds are compared.
        lock_timeout : float, default=60.0

        Returns
        -------
        LabelingCampaign

        Raises
        ------
        FileExistsError
            The folder holds something else.
        ValueError
            An argument cannot be used, or the folder holds a campaign with other settings.
        """
        folder = local_path(folder, "folder")
        loaded = _source.load(features, ids)
        settings = Settings.checked(
            strategy,
            initial,
            estimator,
            scale,
            n_instances,
            random_fraction,
            class_balance,
            classes,
            stopping,
            seed,
            n_stop_set,
        )
        held_out = _check_validation(validation, loaded, settings)
        if held_out is not None:
            settings.classes = sorted({*settings.classes, *held_out["label"]})
        config, files = _describe(folder, features, loaded, settings, held_out)
        if not (folder / CONFIG).exists():
            _write_new(folder, config, files)
        there = read_sealed(folder / CONFIG)
        lines = difference({**there, SEAL: None}, {**sealed(config), SEAL: None})
        if lines:
            raise ValueError(
                f"{folder} holds a campaign that was begun otherwise; give another folder. The difference:\n  "
                + "\n  ".join(lines)
            )
        campaign = cls(folder, features=None if _is_path(features) else features, ids=ids, lock_timeout=lock_timeout)
        campaign._loaded = loaded
        return campaign

    # ------------------------------------------------------------------------------------------------------- reading

    def state(self) -> State:
        """Read the log. Needs no lock: entries appear whole."""
        return State(_log.read_log(self.folder, self._config[SEAL], self._known), list(self.settings.classes))

    @property
    def labels(self) -> pd.DataFrame:
        """Every id that someone said something about, settled by majority, or by an authority's word.

        Indexed by id: ``state`` (``label``, ``skip``, ``unsure``, ``conflict``), ``label``, ``n_annotators``,
        ``n_votes``, ``agreement``.
        """
        return self.state().labels

    @property
    def history(self) -> pd.DataFrame:
        """Every label received, in order of arrival, with annotator, time, and the entry it came in."""
        return self.state().events

    @property
    def batches(self) -> pd.DataFrame:
        """Every row handed out: the batch tables, with ``round`` before and ``state`` and ``label`` behind."""
        state = self.state()
        tables = [
            table.assign(round=entry.receipt["round"]) for entry, table in zip(state.rounds, state.batches, strict=True)
        ]
        if not tables:
            return pd.DataFrame(columns=["round", "id", "rank", "score", "chosen_by", "state", "label"])
        table = pd.concat(tables, ignore_index=True)
        table["state"] = state.labels["state"].reindex(table["id"]).fillna("pending").to_numpy()
        table["label"] = state.labels["label"].reindex(table["id"]).fillna("").to_numpy()
        return table[["round", *(name for name in table.columns if name != "round")]]

    @property
    def log(self) -> pd.DataFrame:
        """Every entry: entry, kind, what, when, by, undone_by."""
        state = self.state()
        return pd.DataFrame(
            [
                {
                    "entry": entry.number,
                    "kind": entry.kind,
                    "what": _in_words(entry),
                    "when": entry.stamp.get("when"),
                    "by": entry.stamp.get("by"),
                    "undone_by": state.undone.get(entry.number, ""),
                }
                for entry in state.entries
            ],
            columns=["entry", "kind", "what", "when", "by", "undone_by"],
        )

    def stopping_history(self) -> list[RoundState]:
        """Rounds that had a model, as `skmmal.stopping` sees them."""
        return self.state().history

    def advice(self) -> list[Advice]:
        """What the campaign's stopping criteria say. It is advice: nothing stops by itself."""
        return _advice(self.state(), self.settings)

    @property
    def conflicts(self) -> pd.DataFrame:
        """Ids whose annotators disagree: ``id``, ``settled`` (the label, if settled), ``said`` (who said what)."""
        return conflicts(self.state().events)

    def agreement(self) -> dict[str, Any]:
        """How far annotators agree (see `skmmal.campaign.votes.agreement`)."""
        return agreement(self.state().events)

    def status(self) -> Status:
        """Where the campaign stands."""
        state = self.state()
        return make_status(self.folder, state, self.settings, self._config, _advice(state, self.settings))

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
        """
        entries = [entry for entry in self.state().rounds if entry.receipt["model"] is not None]
        found = [entry for entry in entries if round is None or entry.receipt["round"] == round]
        if not found:
            raise ValueError(f"there is no model of round {round}" if round is not None else "no round had a model yet")
        found[-1].verify()
        return LateFusionClassifier.load(found[-1].path / MODEL)

    def scaled_features(self) -> tuple[MultimodalArray, np.ndarray]:
        """Features as the models see them, and their ids; rows without any modality are left out."""
        features = self._features()
        usable = np.flatnonzero(usable_rows(features.X))
        X = features.X[usable]
        if self.settings.scale != "none":
            X = ModalityScaler(method=self.settings.scale).fit(X).transform_blocks(X)
        return X, np.asarray(features.ids, dtype=object)[usable]

    def verify(self) -> None:
        """Read every file and compare its checksum; raise `CampaignError` at the first that differs."""
        config = _read_config(self.folder)
        for name, expected in config["files"].items():
            read_checked(self.folder / name, expected)
        for entry in _log.read_log(self.folder, config[SEAL]):
            entry.verify()

    # ------------------------------------------------------------------------------------------------------ batches

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
        strategy, random_fraction, class_balance : optional
            For this round, instead of the campaign's.
        include : sequence of {"pending", "skip", "unsure", "conflict"}
            States whose ids may be handed out once more.
        allow_changed_features : bool, default=False
            Go on with features that have changed since the last round.
        by : str, optional
            Who asks. Default: the user.

        Returns
        -------
        DataFrame
            See `skmmal.campaign.batch.batch_table`. The same state gives the same bytes in ``next.csv``.

        Raises
        ------
        ValueError
            Nothing is left to hand out, features have changed, or `round` is not the next one.
        TimeoutError
            Another process holds the campaign.
        """
        options = _BatchOptions(self.settings, n_instances, strategy, random_fraction, class_balance, include)
        with locked(self.folder, "next", self.lock_timeout):
            state = self.state()
            number = len(state.rounds) + 1
            if round is not None and check_count("round", round, 1) <= len(state.rounds):
                return state.batches[round - 1].copy()
            if round is not None and round != number:
                raise ValueError(f"round {round} is not the next one; {len(state.rounds)} rounds are done")
            started = time.perf_counter()
            with one_thread():  # the last bits depend on the number of threads, and next.csv must not
                receipt, table, stop_set, model = self._make_round(state, number, options, allow_changed_features)

            def fill(path: Path) -> None:
                write_new(path / NEXT, _csv(table))
                if model is not None:
                    write_new(path / STOP_SET, _csv(stop_set))
                    model.save(path / MODEL)
                    fsync_folder(path / MODEL)

            about = stamp(by, seconds=time_since(started))
            _log.append(self.folder, state.entries, self._config[SEAL], receipt, about, fill)
            return self.state().batches[-1].copy()

    def _make_round(
        self, state: State, number: int, options: _BatchOptions, allow_changed_features: bool
    ) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, LateFusionClassifier | None]:
        described = _source.describe(self._features())
        before = state.rounds[-1].receipt["features"] if state.rounds else self._config["features"]["described"]
        if not allow_changed_features:
            _source.same_features(described, before)
        X, ids = self.scaled_features()
        rows = pd.Index(ids)
        gone = state.labels.index.difference(pd.Index([str(name) for name in self._features().ids]))
        if len(gone):
            raise CampaignError(f"{len(gone)} ids with labels are no longer among the features, the first: {gone[0]!r}")
        settled = state.labels["state"].reindex(rows).fillna("").to_numpy()
        held_out = rows.isin(self._validation["id"])
        pending = rows.isin(state.pending)
        labeled = np.flatnonzero((settled == "label") & ~held_out)
        y = state.labels["label"].reindex(rows[labeled]).to_numpy(dtype=str)
        barred = held_out | (settled == "label")
        for name in ("skip", "unsure", "conflict"):
            barred |= (settled == name) & (name not in options.include)
        if "pending" not in options.include:
            barred |= pending
        candidates = np.flatnonzero(~barred)
        if not len(candidates):
            raise ValueError(
                f"nothing is left to hand out: of {len(ids)} rows {len(labeled)} are labelled, {int(pending.sum())} "
                f"are handed out and not answered yet, {int(held_out.sum())} are in the validation set, "
                f"{int(np.isin(settled, ['skip', 'unsure', 'conflict']).sum())} are skipped, unsure or in conflict "
                "(include, --also, hands those out once more)"
            )
        seed = self.settings.seed
        model = None
        if len(np.unique(y)) > 1:
            model = seeded(self.settings.estimator, "campaign", seed, "fit", number)
            model.fit(X[labeled], y, classes=np.array(state.classes, dtype=str))
        pick = self._pick(X, candidates, labeled, y, model, state, number, options)
        table = batch_table(ids, pick, X, model)
        pool = np.flatnonzero(~held_out & (settled != "label"))
        measured, stop_set = self._measure(model, X, ids, pool, labeled)
        receipt = {
            "kind": "round",
            "round": number,
            "strategy": describe_strategy(options.strategy if model is not None else self.settings.initial),
            "cold_start": model is None,
            "n_instances": len(table),
            "random_fraction": options.random_fraction,
            "class_balance": options.class_balance,
            "include": options.include,
            "seed": seed,
            "random_seeds": {what: random_seed("campaign", seed, what, number) for what in ("fit", "query", "slice")},
            "features": described,
            "n_candidates": len(candidates),
            "excluded": {
                "pending": int(pending.sum()),
                "validation": int(held_out.sum()),
                "without any modality": described["n_samples"] - len(ids),
                **{name: int((settled == name).sum()) for name in ("label", "skip", "unsure", "conflict")},
            },
            "labels": {"n": len(y), "sha256": digest(_csv(state.labels.reset_index())), "classes": state.class_counts},
            "model": measured,
            "versions": versions(),
        }
        return receipt, table, stop_set, model

    def _pick(
        self,
        X: MultimodalArray,
        candidates: np.ndarray,
        labeled: np.ndarray,
        y: np.ndarray,
        model: LateFusionClassifier | None,
        state: State,
        number: int,
        options: _BatchOptions,
    ) -> Pick:
        key = ("campaign", self.settings.seed)
        n = min(options.n_instances, len(candidates))
        n_random = math.ceil(options.random_fraction * n - 1e-9)
        rng = np.random.RandomState(random_seed(*key, "slice", number))
        # the slice comes first, from all candidates: what the strategy likes must not change who is in it
        drawn = np.sort(rng.permutation(len(candidates))[:n_random])
        slice_ = candidates[drawn]
        rest = np.delete(candidates, drawn)
        pick = Pick(np.empty(0, dtype=np.intp), np.empty(0), np.empty(0, dtype=object))
        if n > n_random:
            strategy = options.strategy if model is not None else self.settings.initial
            pick = choose(
                seeded(strategy, *key, "query", number),
                seeded(self.settings.estimator, *key, "fit", number) if model is None else model,
                X,
                rest,
                labeled,
                y,
                n - n_random,
                name=strategy_name(strategy),
                class_counts=state.class_counts if options.class_balance and model is not None else None,
            )
        return mix_in(pick, slice_, rng)

    def _measure(
        self,
        model: LateFusionClassifier | None,
        X: MultimodalArray,
        ids: np.ndarray,
        pool: np.ndarray,
        labeled: np.ndarray,
    ) -> tuple[dict[str, Any] | None, pd.DataFrame]:
        """What the receipt says of the model, and its predictions on the stop set."""
        if model is None:
            return None, pd.DataFrame()
        wanted = set(self._stop_set())
        in_stop_set = {i: ids[row] for i, row in enumerate(pool) if ids[row] in wanted}
        known = self._validation[self._validation["id"].isin(ids)]
        accuracy = None
        if len(known):
            held_out = pd.Index(ids).get_indexer(pd.Index(known["id"]))
            accuracy = float((model.predict(X[held_out]) == known["label"].to_numpy(dtype=str)).mean())
        probabilities = model.predict_proba(X[pool])
        summary = RoundState.from_probabilities(0, len(labeled), probabilities, model.classes_, in_stop_set)
        predicted = Counter(model.classes_[probabilities.argmax(axis=1)].tolist())
        measured = {
            "n_labeled": len(labeled),
            "n_iter": int(model.n_iter_),
            "mean_confidence": summary.mean_confidence,
            "mean_entropy": summary.mean_entropy,
            "validation_accuracy": accuracy,
            "n_validation": len(known),
            "predicted_in_pool": {str(name): predicted.get(str(name), 0) for name in model.classes_},
        }
        assert summary.predictions is not None
        stop_set = pd.DataFrame({"id": summary.predictions.index, "predicted": summary.predictions.to_numpy()})
        return measured, stop_set

    # ------------------------------------------------------------------------------------------------------- labels

    def add_labels(
        self,
        labels: Any,
        *,
        annotator: str | None = None,
        source: str = "auto",
        control: str = "label",
        map_classes: Mapping[str, str] | None = None,
        encoding: str | None = None,
        allow_new_classes: bool = False,
        ignore_unknown: bool = False,
        snapshot: bool = False,
        authority: str | Sequence[str] = (),
        by: str | None = None,
    ) -> dict[str, Any]:
        """Take labels in: all that are valid at once, or none.

        The latest word of each annotator about a row counts, by the labels' own times, or else by arrival. Only the
        very same file (name, content, time of its last change) brings nothing back that was changed since.

        Parameters
        ----------
        labels : path-like, DataFrame, mapping or Series
            A file (see `skmmal.campaign.exchange.read_labels_file`), or labels with their ids. A DataFrame may hold
            the columns ``state`` (``label``, ``skip``, ``unsure``, ``reject``: not of this class), ``annotator``,
            ``when``, ``annotation``, ``authority``.
        annotator : str, optional
            Who labelled, where the labels do not say. Default: the user.
        source : str, default="auto"
            Kind of file: ``"csv"``, ``"excel"``, ``"parquet"``, ``"json"``, ``"jsonl"``, ``"label-studio"``,
            ``"label-studio-min"``, ``"label-studio-csv"``, ``"prodigy"``, ``"huggingface"``.
        control : str, default="label"
            Label Studio: name of the control whose choice is the label.
        map_classes : mapping of str to str, optional
            Labels to rename, old name to new one; the new names ``skip`` and ``unsure`` make them that.
        encoding : str, optional
            Of a CSV file that is not in Unicode.
        allow_new_classes : bool, default=False
            Admit classes that the campaign has not seen.
        ignore_unknown : bool, default=False
            Leave out labels for ids that are not in the campaign (they are kept in the entry's ``ignored.csv``).
        snapshot : bool, default=False
            `labels` is everything that there is: what it no longer holds is retracted. Of Label Studio's JSON export,
            that is annotations of its projects; of a table, labels of its annotators that have no annotation's number.
        authority : str or sequence of str, optional
            Annotators whose word settles conflicts, from now on, whenever it came. An annotation that is marked as
            ground truth in Label Studio does so, too.
        by : str, optional
            Who hands them in. Default: the user.

        Returns
        -------
        dict
            ``entry`` (``None``: nothing new), ``new``, ``known`` (received before), ``changed`` (of the new ones: they
            change an annotator's earlier word), ``blank`` (without label and state), ``ignored``, ``states``,
            ``new_classes``; and where there is any, ``vanished`` (retracted by the snapshot), ``stay_retracted``
            (retracted before, and the same), ``mapped``, ``authority``, ``notes``.

        Raises
        ------
        ValueError
            Unknown ids, classes not seen before, labels that cannot be read, or that contradict each other; nothing is
            recorded.
        TimeoutError
            Another process holds the campaign.
        """
        known_ids = {str(name) for name in self._features().ids}
        file = None
        if isinstance(labels, str | os.PathLike):
            path = local_path(labels, "labels")
            classes = {*self.state().classes, *(map_classes or {})}
            labels = read_labels_file(path, source, control=control, encoding=encoding, classes=classes, ids=known_ids)
            file = _delivery.file_mark(path)
        incoming = _incoming.normalize(labels, annotator or user_name(), map_classes)
        with locked(self.folder, "add-labels", self.lock_timeout):
            state = self.state()
            delivery = _delivery.receive(
                state,
                incoming,
                known_ids,
                set(self._validation["id"]),
                allow_new_classes=allow_new_classes,
                ignore_unknown=ignore_unknown,
                snapshot=snapshot,
                authority=_names("authority", authority),
                mark=mark(self),
                file=file,
            )
            if not delivery.is_news:
                return {"entry": None, **delivery.found}
            about = stamp(by, file=file) if file else stamp(by)
            entry = _log.append(self.folder, state.entries, self._config[SEAL], delivery.receipt, about, delivery.fill)
            return {"entry": entry.number, **delivery.found}

    def retract(
        self,
        ids: str | Sequence[str],
        *,
        annotator: str | None = None,
        reason: str = "",
        by: str | None = None,
    ) -> dict[str, Any]:
        """Take back what was said about some ids, by an entry of its own; nothing is deleted, and it can be undone.

        The ids are unlabelled again (pending, where they were handed out), and can be labelled again. The same label
        with the same time stays retracted when it is received once more; a later one counts.

        Parameters
        ----------
        ids : str or sequence of str
        annotator : str, optional
            Whose words. Default: everybody's.
        reason, by : str, optional
            Kept in the stamp.

        Returns
        -------
        dict
            ``entry`` (``None``: they were retracted already), ``retracted`` (events taken back), ``ids``.

        Raises
        ------
        ValueError
            An id is not in the campaign, or has no label (by that annotator); nothing is recorded.
        """
        wanted = _names("ids", ids)
        with locked(self.folder, "retract", self.lock_timeout):
            state = self.state()
            known = {*state.events["id"], *state.retracted["id"]}
            if not set(wanted) <= known:
                known |= {str(name) for name in self._features().ids}
            events = _delivery.retraction(state, wanted, annotator, known)
            found = {"retracted": len(events), "ids": sorted(set(events["id"]))}
            if events.empty:
                return {"entry": None, **found}

            def fill(path: Path) -> None:
                write_new(path / RETRACTED, _delivery.whose_csv(events))

            receipt = {"kind": "retract", "annotator": annotator, **found}
            entry = _log.append(self.folder, state.entries, self._config[SEAL], receipt, stamp(by, reason=reason), fill)
            return {"entry": entry.number, **found}

    def undo(self, entry: int | None = None, *, by: str | None = None, reason: str = "") -> dict[str, Any]:
        """Undo an entry by adding one that reverses it; nothing is deleted.

        Parameters
        ----------
        entry : int, optional
            Number of the entry. Default: the last that counts and is no undo. An undo can be undone by its number. If
            the entry is undone already, nothing changes.
        by, reason : str, optional
            Kept in the stamp.

        Returns
        -------
        dict
            ``entry`` (``None``: it was undone already), ``undoes``, ``what``.

        Raises
        ------
        ValueError
            There is no such entry, or it is a round and not the last one.
        """
        with locked(self.folder, "undo", self.lock_timeout):
            state = self.state()
            if entry is None:
                counting = [one for one in state.entries if one.kind != "undo" and one.number not in state.undone]
                if not counting:
                    raise ValueError("there is nothing to undo")
                entry = counting[-1].number
            entry = check_count("entry", entry, 1)
            if entry > len(state.entries):
                raise ValueError(f"there is no entry {entry}; the log holds {len(state.entries)}")
            target = state.entries[entry - 1]
            what = _in_words(target)
            if entry in state.undone:
                return {"entry": None, "undoes": entry, "what": what}
            self._check_undo(state, target)
            done = _log.append(
                self.folder,
                state.entries,
                self._config[SEAL],
                {"kind": "undo", "undoes": entry},
                stamp(by, reason=reason),
            )
            return {"entry": done.number, "undoes": entry, "what": what}

    def _check_undo(self, state: State, target: _log.Entry) -> None:
        """Rounds are undone, and come back, from the end only: later ones build on them."""
        if target.kind == "round" and target.number != state.rounds[-1].number:
            last = state.rounds[-1]
            raise ValueError(f"{_in_words(target)} is not the last round; undo entry {last.number} first")
        if target.kind != "undo":
            return
        back = state.entries[int(target.receipt["undoes"]) - 1]
        if back.kind == "round" and back.receipt["round"] != len(state.rounds) + 1:
            raise ValueError(
                f"{_in_words(back)} cannot come back: there is another round {back.receipt['round']} now; "
                "undo that first"
            )

    # ------------------------------------------------------------------------------------------------------- doubts

    def doubts(self, n: int | None = None, *, n_folds: int = 5) -> pd.DataFrame:
        """List the labels that the model doubts most (see `skmmal.campaign.doubts.find_doubts`).

        Parameters
        ----------
        n : int, optional
            How many. Default: all that could be checked.
        n_folds : int, default=5

        Returns
        -------
        DataFrame
        """
        state = self.state()
        X, ids = self.scaled_features()
        given = state.labels["label"][state.labels["state"] == "label"].reindex(pd.Index(ids)).fillna("")
        labeled = np.flatnonzero(given.to_numpy() != "")
        estimator = seeded(self.settings.estimator, "campaign", self.settings.seed, "fit", 0)
        y = given.to_numpy()[labeled].astype(str)
        with one_thread():
            found = find_doubts(estimator, X[labeled], y, ids[labeled], n_folds=n_folds, seed=self.settings.seed)
        return found if n is None else found.head(check_count("n", n, 1))

    # ---------------------------------------------------------------------------------------------------- internals

    def _features(self) -> Features:
        if self._loaded is None:
            where = self._features_given
            if where is None:
                kept = self._config["features"]["path"]
                if kept is None:
                    raise ValueError("this campaign was begun with arrays; give them again: features=..., ids=...")
                where = self.folder / kept
                if not where.exists():
                    raise FileNotFoundError(
                        f"the features are no longer at {where}; say where they are: features=... (--features)"
                    )
            self._loaded = _source.load(where, self._ids_given)
        return self._loaded

    def _read_validation(self) -> pd.DataFrame:
        expected = self._config["files"].get(VALIDATION)
        if expected is None:
            return pd.DataFrame({"id": [], "label": []}, dtype=object)
        path = self.folder / VALIDATION
        return read_table(read_checked(path, expected), path, ("id", "label"))

    def _stop_set(self) -> list[str]:
        path = self.folder / STOP_SET
        return list(read_table(read_checked(path, self._config["files"][STOP_SET]), path, ("id",))["id"])


def _advice(state: State, settings: Settings) -> list[Advice]:
    """What the criteria say; a budget counts the labels that came in since the last round, too."""
    now = len(state.ids_in_state("label"))
    spent = [*state.history[:-1], replace(state.history[-1], n_labeled=now)] if state.history else [RoundState(0, now)]
    return [
        criterion.advise(spent if isinstance(criterion, Budget) else state.history) for criterion in settings.stopping
    ]


def _names(what: str, given: Any) -> list[str]:
    """One name, or several."""
    if isinstance(given, str):
        return [given]
    if not isinstance(given, Iterable) or isinstance(given, bytes | Mapping):
        raise TypeError(f"{what} must be a name or a list of names, got {given!r}")
    return [str(name) for name in given]


class _BatchOptions:
    """Options of one round: what was asked for, or the campaign's."""

    def __init__(
        self,
        settings: Settings,
        n_instances: int | None,
        strategy: Any,
        random_fraction: float | None,
        class_balance: bool | None,
        include: Sequence[str],
    ) -> None:
        self.n_instances = settings.n_instances if n_instances is None else check_count("n_instances", n_instances, 1)
        self.strategy = settings.strategy if strategy is None else as_strategy(strategy)
        self.random_fraction = settings.random_fraction if random_fraction is None else check_fraction(random_fraction)
        self.class_balance = settings.class_balance if class_balance is None else bool(class_balance)
        self.include = check_included(include)


def time_since(started: float) -> float:
    """Seconds, to the millisecond."""
    return round(time.perf_counter() - started, 3)


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike)


def _in_words(entry: _log.Entry) -> str:
    receipt = entry.receipt
    if entry.kind == "round":
        return f"round {receipt['round']}: {receipt['n_instances']} ids by {receipt['strategy']['name']}"
    if entry.kind == "labels":
        changes = f", {receipt['changed']} of them changes" if receipt["changed"] else ""
        gone = f", {receipt['vanished']} retracted" if receipt.get("vanished") else ""
        leads = f", {' and '.join(receipt['authority'])} settles conflicts" if receipt.get("authority") else ""
        return f"{receipt['new']} labels{changes}{gone}{leads}"
    if entry.kind == "retract":
        whose = f" by {receipt['annotator']}" if receipt["annotator"] else ""
        return f"{receipt['retracted']} labels{whose} of {len(receipt['ids'])} ids retracted"
    return f"entry {receipt['undoes']} undone"


# ---------------------------------------------------------------------------------------------------- configuration


def _check_validation(validation: Any, features: Features, settings: Settings) -> pd.DataFrame | None:
    if validation is None:
        return None
    if _is_path(validation):
        names = [str(name) for name in features.ids]
        path = local_path(validation, "validation")
        validation = read_labels_file(path, classes=settings.classes, ids=names)
    incoming = _incoming.normalize(validation, "")
    events = incoming.events[incoming.events["state"] == "label"]
    if events.empty:
        raise ValueError("validation holds no labels")
    if events["id"].duplicated().any():
        twice = events["id"][events["id"].duplicated()].iloc[0]
        raise ValueError(f"validation: the id {twice!r} is there twice")
    unknown = ~events["id"].isin({str(name) for name in features.ids})
    if unknown.any():
        raise ValueError(
            f"validation: {int(unknown.sum())} of {len(events)} ids are not among the features, the first: "
            f"{events['id'][unknown].iloc[0]!r}"
        )
    _incoming.check_class_names(sorted(set(events["label"])), "validation")
    if settings.classes and not set(events["label"]) <= set(settings.classes):
        odd = sorted(set(events["label"]) - set(settings.classes))
        raise ValueError(f"validation: the labels {odd[:10]} are none of the classes {settings.classes[:20]}")
    return events[["id", "label"]].sort_values("id")


def _describe(
    folder: Path, features: Any, loaded: Features, settings: Settings, held_out: pd.DataFrame | None
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Configuration, and the files beside it."""
    ids = np.asarray(loaded.ids, dtype=object)
    free = ids if held_out is None else ids[~pd.Index(ids).isin(held_out["id"])]
    rng = np.random.RandomState(random_seed("campaign", settings.seed, "stop-set"))
    drawn = np.sort(rng.permutation(len(free))[: settings.n_stop_set])
    files = {STOP_SET: _csv(pd.DataFrame({"id": free[drawn]}))}
    if held_out is not None:
        files[VALIDATION] = _csv(held_out)
    config = {
        "format": FORMAT,
        "version": VERSION,
        "features": {"path": _source.relative_path(features, folder), "described": _source.describe(loaded)},
        "settings": settings.to_json(),
        "files": {name: digest(content) for name, content in files.items()},
    }
    return config, files


def _write_new(folder: Path, config: dict[str, Any], files: dict[str, bytes]) -> None:
    """Write the folder under another name and rename it: a campaign is there whole or not at all."""
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise FileExistsError(f"{folder} exists and holds no {CONFIG}; give a new or empty folder")
    target = folder.absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in target.parent.glob(f".{target.name}{TEMPORARY}*"):
            if time.time() - left.stat().st_mtime > 3600:  # of a command that was killed, not of one that runs
                shutil.rmtree(left)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}{TEMPORARY}"))
    except OSError as error:
        raise explained(error, target) from error
    try:
        temporary.chmod(0o755)
        for name, content in files.items():
            write_new(temporary / name, content)
        write_new(temporary / STAMP, dumps(sealed(stamp())))
        write_new(temporary / CONFIG, dumps(sealed(config)))
        fsync_folder(temporary)
        os.rename(temporary, target)
        fsync_folder(target.parent)
    except BaseException as error:
        with suppress(OSError):
            shutil.rmtree(temporary)
        if isinstance(error, OSError):
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and (target / CONFIG).is_file():
                return  # another process was faster; its settings are compared next
            raise explained(error, target) from error
        raise


def _read_config(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not the folder of a campaign: there is no such folder")
    if not (folder / CONFIG).exists() and not (folder / CONFIG).is_symlink():
        raise FileNotFoundError(f"{folder} is not the folder of a campaign: it holds no {CONFIG}")
    check_folder(folder.resolve())
    config = read_sealed(folder / CONFIG)
    if config.get("format") != FORMAT:
        raise CampaignError(f"{folder / CONFIG} has the format {config.get('format')!r}, expected {FORMAT!r}")
    if config.get("version") != VERSION:
        raise CampaignError(f"{folder / CONFIG} has version {config.get('version')}, this skmmal reads {VERSION}")
    return config
