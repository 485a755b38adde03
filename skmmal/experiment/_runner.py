"""Run strategies against each other, over seeds, in parallel, resumable."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from joblib.parallel import get_active_backend
from sklearn.utils.parallel import Parallel, delayed  # they take scikit-learn's configuration to the workers

from skmmal._alone import n_modalities_of, prior_block_of, warn_if_alone, warn_if_lost
from skmmal.experiment._annotator import answers_to
from skmmal.experiment._folder import RunFolder
from skmmal.experiment._oracle import ORACLE, Oracle, check_oracle
from skmmal.experiment._problem import Problem, describe, make_problem, random_seed, resolve_seeds
from skmmal.experiment._progress import track
from skmmal.experiment._results import ExperimentResults
from skmmal.experiment._unit import Record, run_unit
from skmmal.query import QueryStrategy

__all__ = ["run_experiment"]

_SHARE = "contribution_"
"""What the columns begin with that every modality has one of, and the fused head none."""


def run_experiment(
    estimator: Any,
    strategies: Any,
    X: Any,
    y: Any,
    *,
    X_test: Any,
    y_test: Any,
    n_initial: int,
    n_instances: int,
    n_rounds: int,
    seeds: int | Sequence[int],
    initial: str | QueryStrategy = "random",
    groups: Any = None,
    costs: Any = None,
    class_balance: bool = False,
    scoring: Any = None,
    evaluations: Any = None,
    annotator: Any = None,
    oracle: bool | Oracle = False,
    n_jobs: int | None = None,
    results_dir: str | os.PathLike | None = None,
    metadata: Mapping[str, Any] | None = None,
    verbose: int = 0,
) -> ExperimentResults:
    """Compare query strategies on a pool whose labels are known.

    Every strategy of a seed starts from the same `n_initial` rows (round 0). Then, `n_rounds` times, it chooses
    `n_instances` more, and a new model is fitted on all rows chosen so far.

    Parameters
    ----------
    estimator : classifier or regressor
        Cloned. A `LateFusionClassifier` gives all measures; a Pipeline with one at its end does, too; of any other
        classifier the fused ones are taken. Its ``random_state`` is set from the seed.
    strategies : str, QueryStrategy, list of these, or dict of name to these
        A list is named by the strategies' own names. Their ``random_state`` is set from the seed.
    X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
        The pool, in any form that the estimator takes.
    y : array-like of shape (n_samples,), or indicator matrix of shape (n_samples, L)
        Labels of all its rows; for a regressor numbers. An indicator matrix (dense, sparse, or a DataFrame with label
        names) says that rows have several labels; NaN in it stays unknown when the row is chosen.
    X_test : as `X`, of shape (n_test, n_features)
        Rows to measure on.
    y_test : array-like of shape (n_test,), or indicator matrix of shape (n_test, L)
        Their labels, all known.
    n_initial : int
        Rows labelled at first, or groups.
    n_instances : int
        Rows chosen in a round, or groups.
    n_rounds : int
        Rounds of choosing; results have ``n_rounds + 1`` points per strategy and seed.
    seeds : int or list of int
        A number n means 0 to n − 1. Aim for 10 to 20 where strategies are close.
    initial : str or QueryStrategy, default="random"
        Chooses the first rows; one that needs no model.
    groups : array-like of shape (n_samples,), optional
        Group of each row of X (patient, video): whole groups are chosen, from the first rows on. No group should have
        rows in X_test, which cannot be checked here.
    costs : array-like of shape (n_samples,), optional
        What labeling each row costs: strategies choose by what a row or group is worth for its cost, and the column
        ``cost`` is what the rows chosen so far cost.
    class_balance : bool, default=False
        Prefer rows of rare classes: a strategy picks three times the rows of a round, and those are taken whose
        predicted class has the fewest labels so far (`skmmal.campaign.balance_classes`), as in a campaign. One class a
        row, without groups and costs; not for the curve of the oracle.
    scoring : str, list of str, or dict of name to scorer, optional
        More columns: scikit-learn's scorers by name, or callables ``(estimator, X, y)``.
    evaluations : str, list of str, or dict of name to Evaluation or function, optional
        Tables to be made of the fitted models, such as accuracy under missing modalities, noise or adversarial
        steps: ``["missing", "noise", "fgsm", "pgd"]``, or with settings ``{"missing": MissingRates(rates=[0, 0.5])}``
        (see `skmmal.experiment.MissingRates`, `Noise`, `Adversarial`). A function
        ``(model, X_test, y_test, random_state)`` returns a DataFrame. Made after the last round, unless an
        `Evaluation` says ``every_round=True``. They are in ``results.evaluations``.
    annotator : NoisyAnnotator or function, optional
        Who labels the rows that are chosen: answers may be wrong or missing (see `NoisyAnnotator`; a function
        ``(X, y, random_state)`` returns labels and which rows have one). By default all answers are right. Test rows
        keep their labels.
    oracle : bool or Oracle, default=False
        Whether to add the curve ``"oracle"`` to those of the strategies: in every round the best of many batches, by
        somebody who knows the labels (see `Oracle`). It takes many times as long as the strategies.
    n_jobs : int, default=None
        joblib workers over strategies × seeds. ``joblib.parallel_config(backend="dask")`` or Ray's backend moves the
        work to a cluster; `results_dir` must then lie on a disk that all its machines share.
    results_dir : path-like, optional
        Every round is recorded there as it ends. A run that was killed goes on where it was when called again.
    metadata : mapping, optional
        Kept with the configuration, for example the data's name: plain values that JSON can hold.
    verbose : int, default=0
        Show progress on stderr.

    Returns
    -------
    ExperimentResults

    Raises
    ------
    TypeError, ValueError
        Arguments that cannot be used, or a `results_dir` with another configuration (the difference is shown).
    FileExistsError
        `results_dir` holds something else.

    Warns
    -----
    UserWarning
        X has several modalities, or a strategy compares them, and the estimator's classifier was fitted on one.

    Notes
    -----
    Features are used as they come: scale them (`ModalityScaler`, fitted on pool and test rows, for it needs no
    labels). The command ``skmmal simulate`` does.

    The results are the same for any `n_jobs` and backend on machines of one kind, and after any number of kills: each
    random draw has a seed of its own, made of the seed, the strategy's name and the round, and BLAS and torch keep
    to one thread in every worker. Every fit starts anew, so that a round's model follows from its rows alone; the
    convex solver needs hardly more steps for that than from the last round's weights.

    References
    ----------
    .. [1] Shen et al., "Towards balanced active learning for multimodal classification", ACM MM 2023
       (arXiv 2306.08306), section 5: the protocol.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier, ModalityScaler
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.experiment import run_experiment
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> X = ModalityScaler().fit_transform(X)
    >>> results = run_experiment(
    ...     LateFusionClassifier(), ["bmmal", "random"], X[::2], y[::2], X_test=X[1::2], y_test=y[1::2],
    ...     n_initial=20, n_instances=20, n_rounds=2, seeds=2,
    ... )
    >>> results.frame[["strategy", "seed", "round", "n_labeled"]].tail(3).to_string(index=False).splitlines()[1:]
    ['  random     1      0         20', '  random     1      1         40', '  random     1      2         60']
    """
    if metadata is not None and not isinstance(metadata, Mapping):
        raise TypeError(f"metadata must be a mapping, got {metadata!r}")
    problem = make_problem(
        estimator,
        strategies,
        X,
        y,
        X_test,
        y_test,
        n_initial,
        n_instances,
        n_rounds,
        initial,
        scoring,
        evaluations,
        annotator,
        groups,
        costs,
        class_balance,
    )
    problem = _with_oracle(problem, oracle)
    seed_list = resolve_seeds(seeds)
    for seed in seed_list[:1]:  # what is wrong with an annotator shows before anything runs
        answers_to(problem.annotator, problem.X, problem.y, problem.classes, random_seed("annotator", seed))
    config = describe(problem, seed_list, data=results_dir is not None)
    config["metadata"] = dict(metadata or {})
    folder = None if results_dir is None else RunFolder.open(results_dir, config)
    units = [(name, seed) for name in problem.strategies for seed in seed_list]
    results = ExperimentResults.from_records(_run(problem, units, folder, n_jobs, verbose), config)
    if folder is not None:
        results.save(folder.path)
    return results


def _with_oracle(problem: Problem, oracle: Any) -> Problem:
    """Add the oracle to the strategies, where it is wanted."""
    if oracle is not False and (problem.units() or not problem.classes.size):
        raise ValueError(
            "oracle compares batches of single rows by a classifier's accuracy: not with groups or costs, "
            "nor with a regressor"
        )
    wanted = problem.n_initial + problem.n_rounds * problem.n_instances
    found = check_oracle(oracle, len(problem.y), wanted)
    if found is None:
        return problem
    if ORACLE in problem.strategies:
        raise ValueError(f"strategies: {ORACLE!r} is the name of the curve that oracle= adds; give another name")
    return replace(problem, strategies={**problem.strategies, ORACLE: found})


def _run(
    problem: Problem, units: list[tuple[str, int]], folder: RunFolder | None, n_jobs: int | None, verbose: int
) -> Mapping[tuple[str, int], list[Record]]:
    backend, _ = get_active_backend()
    # Ray's backend gives all results at once; the others one by one, so that progress can be shown
    return_as = "generator" if backend.supports_return_generator else "list"
    parallel = Parallel(n_jobs=n_jobs, return_as=return_as)
    done = parallel(delayed(run_unit)(problem, name, seed, folder) for name, seed in units)
    return dict(zip(units, track(_watched(done, problem), len(units), verbose), strict=True))


def _watched(done: Iterable[list[Record]], problem: Problem) -> Iterator[list[Record]]:
    """Pass on the units' records; say after the first where several modalities were to be compared and one is left."""
    for at, records in enumerate(done):
        if at == 0:
            measured = [name for name in records[-1]["metrics"] if name.startswith(_SHARE)]
            known = [name.removeprefix(_SHARE) for name in measured] or None
            asked = [name for name, strategy in problem.strategies.items() if strategy.compares_modalities]
            if n_modalities_of(problem.X) > 1:
                warn_if_lost(problem.X, known and [*known, *prior_block_of(problem.estimator)])
            elif asked and known:
                warn_if_alone(known, f"strategies={asked}")
        yield records
