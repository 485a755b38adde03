"""A labelling campaign on disk: hand out batches, take labels in, keep track of everything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skmmal._fitted import predicts_values
from skmmal._paths import local_path
from skmmal._store import check_same
from skmmal.campaign._begin import check_validation, describe_beginning, named_in, tables_beside, write_beginning
from skmmal.campaign._files import SEAL, read_sealed, sealed
from skmmal.campaign._folder import CONFIG
from skmmal.campaign._measuring import MeasuringMixin
from skmmal.campaign._regressors import usual_regressor
from skmmal.campaign._settings import CLASS, NUMBER, Settings, as_classes
from skmmal.campaign._source import load
from skmmal.campaign.connect._verbs import ConnectMixin
from skmmal.classifier import LateFusionClassifierCV
from skmmal.distributed import ShardedPool

__all__ = ["LabelingCampaign"]


class LabelingCampaign(ConnectMixin, MeasuringMixin):
    """A labelling campaign in a folder, round after round, with an audit trail.

    The folder holds the configuration (``campaign.json``) and a log to which every command that changes something adds
    one entry, whole or not at all: a batch handed out, labels received, an entry undone. Nothing is changed or deleted
    afterwards. A killed command has either happened or not; two processes take turns; files that are damaged, edited
    or foreign are refused. Beside the log lies what was measured last (``measured.json``), which can be made anew.

    Parameters
    ----------
    folder : path-like
        Of a campaign that `create` began.
    features : path-like, MultimodalArray, mapping, DataFrame or ShardedPool, optional
        Where the features are, if they have moved, or the arrays themselves. Default: where they were.
    ids : sequence of str, optional
        Names of the rows, with arrays.
    client : None, dask.distributed.Client or the module ray, optional
        Of a campaign that was begun with a `ShardedPool`: whose workers open it. Default: this process.
    lock_timeout : float, default=60.0
        Seconds to wait for another process that changes the campaign.

    Attributes
    ----------
    folder : Path
    settings : object
        What `create` was called with.
    mark : str
        By what the tasks of this campaign are told from others'.

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

    @classmethod
    def open(cls, folder: str | os.PathLike[str], **options: Any) -> LabelingCampaign:
        """Open a campaign; the same as calling the class.

        Parameters
        ----------
        folder : path-like
            Of a campaign that `create` began.
        **options : object
            The other parameters of the class.

        Returns
        -------
        LabelingCampaign
            As it is on disk.
        """
        return cls(folder, **options)

    def __repr__(self) -> str:
        state = self.state()
        return (
            f"LabelingCampaign({str(self.folder)!r}: {len(state.rounds)} rounds, "
            f"{len(state.ids_in_state('label'))} labels, {len(state.pending)} pending)"
        )

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike[str],
        features: Any,
        *,
        ids: Any = None,
        strategy: Any = None,
        initial: Any = None,
        estimator: Any = None,
        scale: str = "standard",
        n_instances: int = 100,
        random_fraction: float = 0.0,
        relabel_fraction: float = 0.0,
        class_balance: bool = False,
        classes: Sequence[str] | None = None,
        multilabel: bool = False,
        target: str | None = None,
        tolerance: float | None = None,
        validation: Any = None,
        groups: Any = None,
        group_column: str = "group",
        group_score: str = "sum",
        max_rows: int | None = None,
        costs: Any = None,
        cost_column: str = "cost",
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
        features : path-like, MultimodalArray, mapping, DataFrame or ShardedPool
            A feature cache or .npz file (kept by its path), or arrays (they have to be given again to `__init__`). The
            rows of a `skmmal.distributed.ShardedPool` stay on their workers; the campaign keeps what it was opened
            from.
        ids : sequence of str, optional
            Names of the rows, with arrays.
        strategy : str or QueryStrategy, optional
            Chooses the batches. Default: ``"auto"`` (`skmmal.query.Auto`: MVOPT, as long as the classifier's heads are
            not flat), where labels are numbers ``"mvopt"``; in a folder that holds a campaign already, the one it was
            begun with.
        initial : str or QueryStrategy, optional
            Chooses as long as fewer than two classes have labels; one that needs no model. Default: ``"kmeans"``, with
            `groups`, `costs` or a `ShardedPool` ``"maxherding"``.
        estimator : LateFusionClassifier, LateFusionClassifierCV or regressor, optional
            The model. Default: `LateFusionClassifierCV`, where labels are numbers ridge regression on all modalities
            side by side, in which what is missing counts as its mean; in a folder that holds a campaign already, the
            one it was begun with. A regressor is scikit-learn's, or a Pipeline of its parts.
        scale : {"standard", "l2", "none"}, default="standard"
            See `ModalityScaler`.
        n_instances : int, default=100
            Rows in a batch.
        random_fraction : float, default=0.0
            Share of every batch that is drawn at random, which gives an unbiased estimate of the accuracy.
        relabel_fraction : float, default=0.0
            Share of every batch, at most, that is labelled already and handed out once more because the label is
            doubted (see `next_batch`).
        class_balance : bool, default=False
            Prefer rows of rare classes among the strategy's picks (see `skmmal.campaign.balance_classes`).
        classes : sequence of str, optional
            All classes, where they are known. Default: those of the first labels.
        multilabel : bool, default=False
            Whether a row may have any of the classes, or none: its label is a set. A label that comes later counts as
            not known of the rows that were answered before it was there, and has votes of its own as every other.
        target : {"class", "number"}, optional
            What labels are. Default: numbers if `estimator` is a regressor, otherwise classes. With numbers rows are
            chosen by strategies that need no model; what is about classes or probabilities is refused.
        tolerance : float, optional
            Of numbers: two that differ by more contradict each other. A row is in conflict unless more than half of its
            annotators lie within one tolerance of each other. Default: none is; the median counts.
        validation : path-like, DataFrame, mapping or Series, optional
            Labelled rows to measure on; they are never handed out. Their classes count as declared.
        groups : path-like, DataFrame, mapping or Series, optional
            Group of each row: patient, video, speaker. A CSV file or DataFrame with the columns ``id`` and
            `group_column`, or groups by id. Whole groups are handed out, and `n_instances` counts them.
        group_column : str, default="group"
            Column of `groups`.
        group_score : {"sum", "mean", "best"}, default="sum"
            Whether the sum of what a group's rows are worth counts, the mean, or the best row.
        max_rows : int, optional
            Rows in a batch at most, where groups are handed out.
        costs : path-like, DataFrame, mapping or Series, optional
            What labelling each row costs, in any unit; in the same forms. Rows or groups are chosen by what they are
            worth for their cost.
        cost_column : str, default="cost"
            Column of `costs`.
        stopping : list of StoppingCriterion or str, optional
            Default: stabilizing predictions, classification change, overall uncertainty.
        seed : int, default=0
            Draws all that is left to chance.
        n_stop_set : int, default=2000
            Rows, drawn once, on which the models of successive rounds are compared.
        lock_timeout : float, default=60.0
            Seconds to wait for another process that changes the campaign.

        Returns
        -------
        LabelingCampaign
            The new one, or the one that is there.

        Raises
        ------
        FileExistsError
            The folder holds something else.
        ValueError
            An argument cannot be used, or the folder holds a campaign with other settings.
        """
        folder = local_path(folder, "folder")
        loaded = load(features, ids)
        strategy, estimator, target = _with_usual(folder, strategy, estimator, target)
        settings = Settings(
            strategy=strategy,
            initial=_usual_initial(groups, costs, features) if initial is None else initial,
            estimator=estimator,
            scale=scale,
            n_instances=n_instances,
            random_fraction=random_fraction,
            relabel_fraction=relabel_fraction,
            class_balance=class_balance,
            classes=as_classes(classes),
            stopping=stopping,
            seed=seed,
            n_stop_set=n_stop_set,
            multilabel=multilabel,
            group_score="" if groups is None else group_score,
            max_rows=max_rows,
            target=target,
            tolerance=tolerance,
        ).checked()
        if isinstance(features, ShardedPool):
            settings.check_on_workers(groups=groups, costs=costs, max_rows=max_rows)
        held_out = check_validation(validation, loaded, settings.classes, settings.answers)
        if held_out is not None:
            settings.classes = sorted({*settings.classes, *named_in(held_out["label"], settings.answers)})
        beside = tables_beside(loaded.ids, held_out, groups, group_column, costs, cost_column)
        config, files = describe_beginning(folder, features, loaded, settings, held_out, beside)
        if not (folder / CONFIG).exists():
            write_beginning(folder, config, files)
        refusal = f"{folder} holds a campaign that was begun otherwise; give another folder"
        check_same({**read_sealed(folder / CONFIG), SEAL: None}, {**sealed(config), SEAL: None}, refusal)
        return cls(folder, features=loaded, lock_timeout=lock_timeout)


def _usual_initial(groups: Any, costs: Any, features: Any) -> Any:
    """What chooses while there is no model; of groups, costs and shards, what covers the pool as a whole."""
    by_rows = groups is None and costs is None and not isinstance(features, ShardedPool)
    return "kmeans" if by_rows else "maxherding"


def _with_usual(folder: Path, strategy: Any, estimator: Any, target: Any) -> tuple[Any, Any, Any]:
    """Strategy, estimator and target: as given, as the campaign that is there was begun, or the usual ones."""
    if (folder / CONFIG).exists():
        begun = Settings.from_json(read_sealed(folder / CONFIG)["settings"])
        strategy = begun.strategy if strategy is None else strategy
        estimator = begun.estimator if estimator is None else estimator
        target = begun.target if target is None else target
    if target is None:
        target = NUMBER if predicts_values(estimator) else CLASS
    if estimator is None:
        estimator = usual_regressor() if target == NUMBER else LateFusionClassifierCV()
    if strategy is None:
        strategy = "mvopt" if target == NUMBER else "auto"
    return strategy, estimator, target
