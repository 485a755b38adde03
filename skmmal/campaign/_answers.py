"""What an answer is: one class, a set of labels, or a number. Everything that differs between them is said here."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import entr

from skmmal._fitted import predicts_values
from skmmal._targets import SEVERAL_LABELS, target_of
from skmmal.campaign import _doubts, _number_doubts, _set_doubts
from skmmal.campaign._annotations import Annotations, NumberAnnotations, OneClassAnnotations, SetAnnotations
from skmmal.campaign._crowd import Question
from skmmal.campaign._measures import Measures, measure_classes, measure_numbers, measure_sets
from skmmal.campaign._models import Classifiers, Names, Regressors
from skmmal.campaign._numbers import text_of_number
from skmmal.campaign._sets import among, label_hits, states, text_of_states
from skmmal.stopping import RoundState

__all__ = ["LABEL_SETS", "ONE_CLASS", "Answers", "NumberAnswers", "Said", "Tally", "answers_of_model", "can_be_learned"]

MOST_CASES = 50_000
"""Cases of a round that stopping criteria look at, at most about."""


class Said(NamedTuple):
    """What is kept of a model's answers: of each row how sure it is, the entropy, and what is predicted.

    A regressor is sure of nothing: the first two are empty then.
    """

    confidence: np.ndarray
    entropy: np.ndarray
    predicted: np.ndarray


class Tally(NamedTuple):
    """What is kept of many rows: how many, sums of confidence and entropy, how many each class is predicted of.

    It can be made of parts of the rows, wherever they are. Of a regressor the first three are zero, and the last is
    what it predicts of each row.
    """

    n: int
    confidence: float
    entropy: float
    predicted: np.ndarray

    @classmethod
    def total(cls, parts: Sequence[Tally]) -> Tally:
        """Of all parts together."""
        return cls(*(sum(each[1:], start=each[0]) for each in zip(*parts, strict=True)))


class Answers(Annotations, Classifiers):
    """What is said of a row, kept as text; what a model makes of it."""

    multilabel: bool = False
    numbers: bool = False
    few: str
    """What is the case as long as there is nothing to learn from."""

    @abstractmethod
    def target(self, labels: Names, classes: Names) -> np.ndarray:
        """Labels as an estimator takes them, y."""

    @abstractmethod
    def cases(self, predicted: pd.Series, classes: Names) -> pd.Series | None:
        """What stopping criteria compare: predictions by row, or by row and label; ``None``: they cannot."""

    @abstractmethod
    def confidence(self, probabilities: np.ndarray) -> np.ndarray:
        """How sure each row's prediction is."""

    @abstractmethod
    def in_words(self, probabilities: np.ndarray, classes: Names) -> str:
        """What a row is taken for, and where the model wavers."""

    @abstractmethod
    def said(self, probabilities: np.ndarray) -> Said:
        """What is kept of some rows' probabilities."""

    @abstractmethod
    def counts(self, said: Said, classes: Names) -> np.ndarray:
        """Of how many rows each class is predicted; what a regressor predicts of each row."""

    def in_pool(self, tally: Tally, classes: Names) -> dict[str, Any]:
        """What a receipt says of all that is predicted of rows without a label."""
        return {"predicted_in_pool": dict(zip(map(str, classes), tally.predicted.tolist(), strict=True))}

    def of_labels(
        self, classes: Names, probabilities: np.ndarray, known: Names, predicted: Names
    ) -> dict[str, dict[str, Any]]:
        """What a receipt says of each label by itself, where rows have several.

        Parameters
        ----------
        classes : sequence of str
        probabilities : ndarray of shape (n, L)
            Of rows of the stop set.
        known, predicted : sequence of str
            Of the validation rows.
        """
        return {}

    def tally(self, said: Said, classes: Names) -> Tally:
        """What is kept of some rows together."""
        counts = self.counts(said, classes)
        return Tally(len(said.confidence), float(said.confidence.sum()), float(said.entropy.sum()), counts)

    def summary(self, n_labeled: int, tally: Tally, classes: Names, stop_set: Mapping[Any, Any]) -> RoundState:
        """Certainty, and predictions on the stop set: what is predicted of each id."""
        predicted = np.array(list(stop_set.values()))
        return RoundState(
            0,
            n_labeled,
            predictions=pd.Series(
                self.texts(predicted, classes) if len(predicted) else [], index=list(stop_set), dtype=object
            ),
            mean_confidence=tally.confidence / tally.n if tally.n else None,
            mean_entropy=tally.entropy / tally.n / self.most_entropy(classes) if tally.n else None,
        )

    @abstractmethod
    def most_entropy(self, classes: Names) -> float:
        """Of a row of which nothing is known."""

    @abstractmethod
    def measures(
        self, labels: Names, predicted: Names, classes: Names, scores: Any = None, units: Any = None
    ) -> Measures:
        """Compare what was predicted with the labels.

        `classes` are those that the model knew, `scores` (n, n_classes) their probabilities, `units` what was drawn.
        """

    @abstractmethod
    def doubts(
        self, model: Any, X: Any, labels: np.ndarray, ids: np.ndarray, classes: list[str], **options: Any
    ) -> Any:
        """Labels that a model doubts which did not see them."""

    @abstractmethod
    def unseen(self, model: Any, X: Any, labels: np.ndarray, classes: list[str], **options: Any) -> np.ndarray:
        """Probabilities of the classes by models that did not see the rows' labels; NaN where that cannot be."""

    @abstractmethod
    def questions(
        self, votes: pd.DataFrame, probabilities: np.ndarray, pool: np.ndarray, classes: list[str]
    ) -> list[Question]:
        """What is asked of a row, with the votes on it, its probabilities, and those of rows without votes."""


class _OneClass(OneClassAnnotations, Answers):
    """One of several classes."""

    few = "Fewer than two classes have labels"

    def target(self, labels: Names, classes: Names) -> np.ndarray:
        return np.asarray(labels, dtype=str)

    def cases(self, predicted: pd.Series, classes: Names) -> pd.Series:
        return predicted

    def predicted(self, probabilities: np.ndarray, classes: Names) -> np.ndarray:
        return self.texts(probabilities.argmax(axis=1), classes)

    def confidence(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities.max(axis=1)

    def in_words(self, probabilities: np.ndarray, classes: Names) -> str:
        order = np.argsort(-probabilities, kind="stable")
        first, p_first = classes[order[0]], probabilities[order[0]]
        p_second = probabilities[order[1]] if len(order) > 1 else 0.0
        if p_second > 0 and p_first - p_second < 0.2:
            return f"wavers between {first} ({p_first:.0%}) and {classes[order[1]]} ({p_second:.0%})"
        if p_first < 0.9:
            return f"probably {first} ({p_first:.0%}), far from sure"
        return f"quite sure of {first} ({p_first:.0%}); chosen for what it adds to the batch"

    def said(self, probabilities: np.ndarray) -> Said:
        entropy = entr(probabilities).sum(axis=1)
        return Said(self.confidence(probabilities), entropy, probabilities.argmax(axis=1).astype(np.int32))

    def counts(self, said: Said, classes: Names) -> np.ndarray:
        return np.bincount(said.predicted, minlength=len(classes))

    def texts(self, predicted: np.ndarray, classes: Names) -> np.ndarray:
        return np.asarray(classes)[predicted]

    def most_entropy(self, classes: Names) -> float:
        return float(np.log(len(classes))) if len(classes) > 1 else 1.0

    def measures(
        self, labels: Names, predicted: Names, classes: Names, scores: Any = None, units: Any = None
    ) -> Measures:
        return measure_classes(labels, predicted, units)

    def doubts(
        self, model: Any, X: Any, labels: np.ndarray, ids: np.ndarray, classes: list[str], **options: Any
    ) -> Any:
        return _doubts.find_doubts(model, X, labels, ids, **options)

    def unseen(self, model: Any, X: Any, labels: np.ndarray, classes: list[str], **options: Any) -> np.ndarray:
        found = _doubts.self_confidence(model, X, labels, **options)
        wide = pd.DataFrame(found, columns=np.unique(labels)).reindex(columns=classes, fill_value=0.0)
        return wide.to_numpy()

    def questions(
        self, votes: pd.DataFrame, probabilities: np.ndarray, pool: np.ndarray, classes: list[str]
    ) -> list[Question]:
        given = set(votes.to_numpy().ravel())
        taken = [column for column, name in enumerate(classes) if name in given]
        names = [classes[column] for column in taken]
        codes = votes.replace({name: float(code) for code, name in enumerate(names)}).to_numpy(dtype=np.float64)
        return [Question("", names, codes, _normalized(probabilities[:, taken]), _normalized(pool[:, taken]))]


class _LabelSets(SetAnnotations, Answers):
    """Any of several labels, or none; see `_sets` for the text."""

    multilabel = True
    few = "No label has rows that have it and rows that have it not"

    def target(self, labels: Names, classes: Names) -> np.ndarray:
        return states(labels, classes)

    def cases(self, predicted: pd.Series, classes: Names) -> pd.Series:
        """Every label of every row is a case, one or zero; of many, those of every so many rows."""
        step = int(np.ceil(len(predicted) * len(classes) / MOST_CASES)) or 1
        some = predicted.iloc[::step]
        names = pd.MultiIndex.from_product([some.index, list(classes)])
        return pd.Series(states(some, classes).astype(np.int64).ravel(), index=names)

    def predicted(self, probabilities: np.ndarray, classes: Names) -> np.ndarray:
        return self.texts(probabilities > 0.5, classes)

    def confidence(self, probabilities: np.ndarray) -> np.ndarray:
        return np.maximum(probabilities, 1 - probabilities).mean(axis=1)

    def in_words(self, probabilities: np.ndarray, classes: Names) -> str:
        order = np.argsort(-probabilities, kind="stable")
        taken = [column for column in order if probabilities[column] > 0.5]
        by_doubt = np.argsort(np.abs(probabilities - 0.5), kind="stable")
        unsure = [column for column in by_doubt if abs(probabilities[column] - 0.5) < 0.1]
        text = f"takes it for {_listed(taken, probabilities, classes)}" if taken else "sees none of the labels"
        if unsure:
            return f"{text}; wavers about {_listed(unsure, probabilities, classes)}"
        return text if self.confidence(probabilities[None])[0] < 0.9 else f"{text}, quite sure"

    def said(self, probabilities: np.ndarray) -> Said:
        """Means over the labels: probability of the predicted state, and entropy."""
        entropy = (entr(probabilities) + entr(1 - probabilities)).mean(axis=1)
        return Said(self.confidence(probabilities), entropy, probabilities > 0.5)

    def counts(self, said: Said, classes: Names) -> np.ndarray:
        return np.asarray(said.predicted.sum(axis=0))

    def in_pool(self, tally: Tally, classes: Names) -> dict[str, Any]:
        return {**super().in_pool(tally, classes), "n_pool": tally.n}

    def of_labels(
        self, classes: Names, probabilities: np.ndarray, known: Names, predicted: Names
    ) -> dict[str, dict[str, Any]]:
        """Means of confidence and entropy, and how often the state is right, of how many rows."""
        found: dict[str, dict[str, Any]] = {str(name): {} for name in classes}
        right = label_hits(known, predicted, classes)
        for column, said in enumerate(found.values()):
            if len(probabilities):
                p = probabilities[:, column]
                said["mean_confidence"] = float(np.maximum(p, 1 - p).mean())
                said["mean_entropy"] = float((entr(p) + entr(1 - p)).mean() / np.log(2))
            of_label = right[~np.isnan(right[:, column]), column]
            if len(of_label):
                said |= {"validation_accuracy": float(of_label.mean()), "n_validation": len(of_label)}
        return {"labels": found}

    def texts(self, predicted: np.ndarray, classes: Names) -> np.ndarray:
        names = [str(name) for name in classes]
        return np.array([text_of_states(row, names) for row in predicted.astype(float)], dtype=object)

    def most_entropy(self, classes: Names) -> float:
        return float(np.log(2))

    def measures(
        self, labels: Names, predicted: Names, classes: Names, scores: Any = None, units: Any = None
    ) -> Measures:
        known = [among(text, classes) for text in labels]
        return measure_sets(states(known, classes), states(predicted, classes), scores, units)

    def doubts(
        self, model: Any, X: Any, labels: np.ndarray, ids: np.ndarray, classes: list[str], **options: Any
    ) -> Any:
        return _set_doubts.find_doubts(model, X, states(labels, classes), ids, classes, **options)

    def unseen(self, model: Any, X: Any, labels: np.ndarray, classes: list[str], **options: Any) -> np.ndarray:
        return _set_doubts.unseen_probabilities(model, X, states(labels, classes), classes, **options)

    def questions(
        self, votes: pd.DataFrame, probabilities: np.ndarray, pool: np.ndarray, classes: list[str]
    ) -> list[Question]:
        codes = np.full((*votes.shape, len(classes)), np.nan)
        for column in range(votes.shape[1]):
            said = votes.iloc[:, column].notna().to_numpy()
            codes[said, column] = states(votes.iloc[said, column], classes)
        asked = [
            Question(name, ["no", "yes"], codes[:, :, k], _of_two(probabilities[:, k]), _of_two(pool[:, k]))
            for k, name in enumerate(classes)
        ]
        return [question for question in asked if question.usable.any()]


class NumberAnswers(NumberAnnotations, Regressors, Answers):
    """A number; see `_numbers` for the text. What is about classes and probabilities has no meaning and is refused."""

    numbers = True
    few = "Fewer than two different numbers are known"

    def target(self, labels: Names, classes: Names) -> np.ndarray:
        return np.asarray(labels, dtype=np.float64)

    def cases(self, predicted: pd.Series, classes: Names) -> pd.Series | None:
        return None

    def predicted(self, probabilities: np.ndarray, classes: Names) -> np.ndarray:
        raise _needs_classes("a prediction by probabilities")

    def confidence(self, probabilities: np.ndarray) -> np.ndarray:
        raise _needs_classes("confidence")

    def in_words(self, probabilities: np.ndarray, classes: Names) -> str:
        """`probabilities` is what is predicted of the row."""
        return f"predicted {float(probabilities):.4g}; chosen from the features alone"

    def said(self, probabilities: np.ndarray) -> Said:
        """`probabilities` is what is predicted of each row."""
        return Said(np.empty(0), np.empty(0), np.asarray(probabilities, dtype=np.float64))

    def counts(self, said: Said, classes: Names) -> np.ndarray:
        return said.predicted

    def in_pool(self, tally: Tally, classes: Names) -> dict[str, Any]:
        values = tally.predicted
        if not len(values):
            return {}
        low, median, high = np.percentile(values, [25, 50, 75])
        found = {"mean": values.mean(), "std": values.std(), "min": values.min(), "25%": low, "50%": median}
        found |= {"75%": high, "max": values.max()}
        return {"numbers_in_pool": {"count": len(values), **{name: float(value) for name, value in found.items()}}}

    def texts(self, predicted: np.ndarray, classes: Names) -> np.ndarray:
        """Six digits say enough."""
        return np.array([text_of_number(float(f"{value:.6g}")) for value in predicted], dtype=object)

    def most_entropy(self, classes: Names) -> float:
        raise _needs_classes("entropy")

    def measures(
        self, labels: Names, predicted: Names, classes: Names, scores: Any = None, units: Any = None
    ) -> Measures:
        return measure_numbers(self.target(labels, ()), self.target(predicted, ()), units)

    def doubts(
        self, model: Any, X: Any, labels: np.ndarray, ids: np.ndarray, classes: list[str], **options: Any
    ) -> Any:
        return _number_doubts.find_doubts(model, X, self.target(labels, ()), ids, **options)

    def unseen(self, model: Any, X: Any, labels: np.ndarray, classes: list[str], **options: Any) -> np.ndarray:
        raise _needs_classes("the quality of annotators (CROWDLAB)")

    def questions(
        self, votes: pd.DataFrame, probabilities: np.ndarray, pool: np.ndarray, classes: list[str]
    ) -> list[Question]:
        raise _needs_classes("the quality of annotators (CROWDLAB)")


def _needs_classes(what: str) -> ValueError:
    return ValueError(f"{what} is about classes, and the labels of this campaign are numbers")


def _normalized(probabilities: np.ndarray) -> np.ndarray:
    """Rows that sum to one."""
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def _of_two(probability: np.ndarray) -> np.ndarray:
    """Probabilities of no and yes."""
    return np.column_stack([1 - probability, probability])


def _listed(columns: Sequence[int], probabilities: np.ndarray, classes: Names) -> str:
    shown = ", ".join(f"{classes[column]} ({probabilities[column]:.0%})" for column in columns[:3])
    return shown + (", ..." if len(columns) > 3 else "")


def can_be_learned(y: np.ndarray) -> bool:
    """Whether a model can be fitted: two classes, or a label that some rows have and some have not."""
    if y.ndim == 1:
        return len(np.unique(y)) > 1
    return bool(((y == 1).any(axis=0) & (y == 0).any(axis=0)).any())


ONE_CLASS: Answers = _OneClass()
LABEL_SETS: Answers = _LabelSets()


def answers_of_model(model: Any) -> Answers:
    """What a fitted model predicts."""
    if predicts_values(model):
        return NumberAnswers()
    return LABEL_SETS if target_of(model) is SEVERAL_LABELS else ONE_CLASS
