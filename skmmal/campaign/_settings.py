"""What a campaign was begun with: checked once, written once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from skmmal._arrays import boolean, integer, number
from skmmal._fitted import predicts_values
from skmmal._persistence import decode, encode
from skmmal._registry import entries
from skmmal.campaign._answers import LABEL_SETS, ONE_CLASS, Answers, NumberAnswers
from skmmal.campaign._checks import check_class_names
from skmmal.campaign._crowd import needs_cleanlab
from skmmal.campaign._files import CampaignError
from skmmal.campaign._regressors import decoded_regressor, encoded_regressor
from skmmal.campaign._sets import check_label_names
from skmmal.classifier import LateFusionClassifier, LateFusionClassifierCV
from skmmal.query import QueryStrategy, available_strategies, get_strategy
from skmmal.query import strategy_name as registered_name
from skmmal.query._refusals import model_refusal
from skmmal.query._strategies import saved_strategy
from skmmal.stopping import StoppingCriterion, as_criteria, available_criteria, get_criterion

CLASS, NUMBER = "class", "number"
"""What labels are."""
SCALES = ("standard", "l2", "none")
DEFAULT_STOPPING = ("stabilizing-predictions", "classification-change", "overall-uncertainty")
GROUP_SCORES = ("sum", "mean", "best")
INCLUDABLE = ("pending", "skip", "unsure", "conflict")
_CLASS = "estimator_class"
_ESTIMATORS = {"": LateFusionClassifier, "LateFusionClassifierCV": LateFusionClassifierCV}
"""By the name that is written; that of the first one is not, as in campaigns of versions that knew no other."""
_LATER = ("modality_weights", "prior", "aggregate")
"""Parameters that campaigns of earlier versions do not name, where they have their default."""


@dataclass
class Settings:
    """Settings of a campaign; estimators and strategies are templates, never fitted."""

    strategy: QueryStrategy
    initial: QueryStrategy
    estimator: Any
    scale: str
    n_instances: int
    random_fraction: float
    class_balance: bool
    classes: list[str]
    stopping: list[StoppingCriterion]
    seed: int
    n_stop_set: int
    multilabel: bool = False
    group_score: str = ""
    """How a group is scored; empty where the unit is the row."""
    max_rows: int | None = None
    relabel_fraction: float = 0.0
    target: str = CLASS
    tolerance: float | None = None
    """Numbers that differ by more contradict each other; ``None``: none do."""

    @property
    def answers(self) -> Answers:
        """What a label is."""
        if self.target == NUMBER:
            return NumberAnswers(self.tolerance)
        return LABEL_SETS if self.multilabel else ONE_CLASS

    def checked(self) -> Settings:
        """Put names and defaults into the form that is kept; what cannot be used is an error."""
        if self.scale not in SCALES:
            raise ValueError(f"scale must be one of {list(SCALES)}, got {self.scale!r}")
        self.multilabel = boolean(self.multilabel, "multilabel")
        self._check_estimator()
        self.strategy, self.initial = as_strategy(self.strategy), as_initial(self.initial)
        if self.target == NUMBER:
            self._check_numbers()
        if self.multilabel:
            self._check_multilabel()
        self.n_instances = integer(self.n_instances, "n_instances", 1)
        self.max_rows = None if self.max_rows is None else integer(self.max_rows, "max_rows", 1)
        if self.group_score and self.group_score not in GROUP_SCORES:
            raise ValueError(f"group_score must be one of {list(GROUP_SCORES)}, got {self.group_score!r}")
        if self.group_score:
            self._check_groups()
        self.random_fraction = check_fraction(self.random_fraction, "random_fraction")
        self.relabel_fraction = check_fraction(self.relabel_fraction, "relabel_fraction")
        if self.relabel_fraction:
            self._check_relabeling()
        self.class_balance = bool(self.class_balance)
        usual = () if self.target == NUMBER else DEFAULT_STOPPING
        self.stopping = as_criteria(usual if self.stopping is None else self.stopping)
        if self.target == NUMBER:
            _check_stopping(self.stopping)
        self.seed = integer(self.seed, "seed", 0)
        self.n_stop_set = integer(self.n_stop_set, "n_stop_set", 0)
        for criterion in self.stopping:
            if criterion.name not in available_criteria():
                raise TypeError(f"stopping: {criterion!r} is none of {available_criteria()}; it could not be read back")
        self.to_json()  # what cannot be written is an error now
        return self

    def _check_estimator(self) -> None:
        """Raise where the estimator is none that a campaign can keep, or not one of what labels are."""
        if self.target not in (CLASS, NUMBER):
            raise ValueError(f"target must be {CLASS!r} or {NUMBER!r}, got {self.target!r}")
        name = type(self.estimator).__name__
        if self.target == NUMBER:
            if not predicts_values(self.estimator):
                raise TypeError(f"estimator must be a regressor, as target is {NUMBER!r}, got {name}")
            return
        if self.tolerance is not None:
            raise ValueError(f"tolerance is about labels that are numbers (target={NUMBER!r}, --target {NUMBER})")
        if not isinstance(self.estimator, LateFusionClassifier):
            way = f"; a regressor needs target={NUMBER!r}" if predicts_values(self.estimator) else ""
            raise TypeError(
                f"estimator must be a LateFusionClassifier, or a LateFusionClassifierCV, got {name}{way}"
            )
        _validate(self.estimator)

    def _check_numbers(self) -> None:
        """Raise where a part is about classes, and labels are numbers."""
        if self.tolerance is not None:
            self.tolerance = number(self.tolerance, "tolerance", 0.0, closed=True)
        if self.strategy.requires_model:
            raise ValueError(f"strategy: {model_refusal(strategy_name(self.strategy))}")
        about_classes = {
            "multilabel": self.multilabel,
            "classes": self.classes,
            "class_balance": self.class_balance,
            "relabel_fraction": self.relabel_fraction,
        }
        given = [name for name, value in about_classes.items() if value]
        if given:
            raise ValueError(f"{given[0]} is about classes, and the labels of this campaign are numbers")

    def _check_multilabel(self) -> None:
        """Raise where a part has no form for sets of labels."""
        for name, strategy in (("strategy", self.strategy), ("initial", self.initial)):
            if not strategy.supports_multi_label and strategy.requires_model:
                able = [each for each, entry in entries("strategy").items() if entry.multi_label]
                raise ValueError(
                    f"{name}: {strategy_name(strategy)} does not serve several labels a row; these do: {able}"
                )
        check_label_names(self.classes, "classes")

    def _check_groups(self) -> None:
        """Raise where a part does not choose whole groups."""
        known = entries("strategy")
        for name, strategy in (("strategy", self.strategy), ("initial", self.initial)):
            if not known[strategy_name(strategy)].groups:
                able = [
                    each
                    for each, entry in known.items()
                    if entry.groups and (name == "strategy" or not entry.needs_model)
                ]
                raise ValueError(f"{name}: {strategy_name(strategy)} does not choose whole groups; these do: {able}")
        if self.class_balance:
            raise ValueError(
                "class_balance is about single rows; a campaign that hands out whole groups cannot have it"
            )

    def _check_relabeling(self) -> None:
        """Raise where labelled rows cannot be handed out once more."""
        needs_cleanlab("relabel_fraction")
        if self.group_score:
            raise ValueError(
                "relabel_fraction is about single rows; a campaign that hands out whole groups cannot have it"
            )
        if self.random_fraction + self.relabel_fraction > 1:
            raise ValueError(
                f"random_fraction {self.random_fraction} and relabel_fraction {self.relabel_fraction} are more than "
                "the whole batch together"
            )

    def check_on_workers(self, **asked: Any) -> None:
        """Raise where something is asked for that features on workers do not serve.

        Parameters
        ----------
        **asked : object
            What, beside these settings, needs the features in one place, where it is given.
        """
        numbers = self.target if self.target == NUMBER else None
        for name, value in {**asked, "relabel_fraction": self.relabel_fraction or None, "target": numbers}.items():
            if value is not None:
                raise ValueError(
                    f"{name} needs the features in one place, and they are a ShardedPool: leave it out, or give the "
                    "path of one feature cache"
                )
        known = entries("strategy")
        for name, strategy in (("strategy", self.strategy), ("initial", self.initial)):
            if not known[strategy_name(strategy)].shards:
                serving = [each for each, entry in known.items() if entry.shards]
                able = [each for each in serving if name == "strategy" or not known[each].needs_model]
                raise ValueError(
                    f"{name}: {strategy_name(strategy)} does not choose from a ShardedPool, which the features are; "
                    f"these do: {able}"
                )

    def to_json(self) -> dict[str, Any]:
        """JSON that `from_json` reads."""
        return {
            "strategy": describe_strategy(self.strategy),
            "initial": describe_strategy(self.initial),
            "estimator": (
                encoded_regressor(self.estimator)
                if self.target == NUMBER
                else _encoded("estimator", self.estimator)
            ),
            **({_CLASS: "LateFusionClassifierCV"} if isinstance(self.estimator, LateFusionClassifierCV) else {}),
            "scale": self.scale,
            "n_instances": self.n_instances,
            "random_fraction": self.random_fraction,
            "class_balance": self.class_balance,
            "classes": self.classes,
            "stopping": [
                {"name": criterion.name, "parameters": _encoded("stopping", criterion)} for criterion in self.stopping
            ],
            "seed": self.seed,
            "n_stop_set": self.n_stop_set,
            # what earlier versions did not know is written where it is used
            **({"multilabel": True} if self.multilabel else {}),
            **({"group_score": self.group_score} if self.group_score else {}),
            **({"max_rows": self.max_rows} if self.max_rows is not None else {}),
            **({"relabel_fraction": self.relabel_fraction} if self.relabel_fraction else {}),
            **({"target": self.target} if self.target != CLASS else {}),
            **({"tolerance": self.tolerance} if self.tolerance is not None else {}),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Settings:
        """Read what `to_json` wrote."""
        try:
            parts = dict(content)
            for name in ("strategy", "initial"):
                parts[name] = saved_strategy(parts[name]["name"], _decoded(parts[name]["parameters"]))
            if parts.get("target") == NUMBER:
                parts["estimator"] = decoded_regressor(parts["estimator"])
            else:
                parts["estimator"] = _ESTIMATORS[parts.pop(_CLASS, "")](**_decoded(parts["estimator"]))
            parts["stopping"] = [
                get_criterion(entry["name"], **_decoded(entry["parameters"])) for entry in parts["stopping"]
            ]
            return cls(**parts)
        except (KeyError, TypeError, AttributeError) as error:
            raise CampaignError(f"the settings cannot be read; did another skmmal write them? ({error})") from None


def _encoded(name: str, estimator: Any) -> dict[str, Any]:
    # random states are left out: the campaign's seed replaces them
    params = {key: value for key, value in estimator.get_params(deep=False).items() if key != "random_state"}
    defaults = type(estimator)().get_params(deep=False) if set(_LATER) & set(params) else params
    return {
        key: encode(f"{name}: {key}", value)
        for key, value in params.items()
        if key not in _LATER or value != defaults[key]
    }


def _decoded(params: dict[str, Any]) -> dict[str, Any]:
    return {name: decode(value) for name, value in params.items()}


def describe_strategy(strategy: QueryStrategy) -> dict[str, Any]:
    """Name and parameters of a strategy."""
    return {"name": strategy_name(strategy), "parameters": _encoded("strategy", strategy)}


def strategy_name(strategy: QueryStrategy) -> str:
    """Name of a strategy that `get_strategy` knows."""
    name = registered_name(strategy)
    if name is None:
        known = available_strategies()
        raise TypeError(f"{type(strategy).__name__} is none of the strategies that have a name: {known}")
    return name


def as_strategy(strategy: Any) -> QueryStrategy:
    """Strategy from an object or a name."""
    if isinstance(strategy, str):
        return get_strategy(strategy)
    if not isinstance(strategy, QueryStrategy):
        raise TypeError(f"strategy must be a QueryStrategy or its name, got {strategy!r}")
    _validate(strategy)
    strategy_name(strategy)
    return strategy


def _validate(estimator: Any) -> None:
    estimator._validate_params()


def as_initial(initial: Any) -> QueryStrategy:
    """Strategy that chooses while there is no model."""
    found = as_strategy(initial)
    if found.requires_model:
        able = available_strategies(needs_model=False)
        raise ValueError(f"initial={initial!r} needs a model, and there is none at first; use one of {able}")
    return found


def _check_stopping(criteria: Sequence[StoppingCriterion]) -> None:
    """Raise where a criterion looks at classes or probabilities."""
    odd = [criterion.name for criterion in criteria if criterion.needs]
    if odd:
        able = [name for name in available_criteria() if not get_criterion(name).needs]
        raise ValueError(
            f"stopping: {odd[0]} is about a classifier, and the labels of this campaign are numbers; these are not: "
            f"{able}"
        )


def check_fraction(value: Any, name: str) -> float:
    """A share from 0 to 1."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not 0 <= float(value) <= 1:
        raise ValueError(f"{name} must be from 0 to 1, got {value}")
    return float(value)


def check_included(include: Any) -> list[str]:
    """States whose ids may be handed out again."""
    names = [include] if isinstance(include, str) else list(include)
    unknown = [name for name in names if name not in INCLUDABLE]
    if unknown:
        raise ValueError(f"include: {unknown} are none of {list(INCLUDABLE)}")
    return [name for name in INCLUDABLE if name in names]


def as_classes(classes: Sequence[Any] | None) -> list[str]:
    """Names of classes, sorted."""
    if classes is None:
        return []
    if isinstance(classes, str):
        raise TypeError(f"classes must be a list of names, got the string {classes!r}")
    if not isinstance(classes, Iterable):
        raise TypeError(f"classes must be a list of names, got {classes!r}")
    names = [str(name).strip() for name in classes]
    if len(set(names)) < len(names) or any(not name or set(name) & set("\n\r\0") for name in names):
        raise ValueError(f"classes must be distinct names, none of them empty or with a line break, got {names}")
    check_class_names(names)
    return sorted(names)
