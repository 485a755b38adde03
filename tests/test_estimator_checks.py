"""scikit-learn's own checks, whole, on the estimators without a layout: every solver, class weights, fusions."""

import pytest
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmmal import LateFusionClassifier, LateFusionClassifierCV, ModalityScaler, PerModality

MINI_BATCH = {"max_iter": 60, "learning_rate": 0.03, "random_state": 0}
# momentum multiplies steps by ten, and plain gradients do not adapt to features that nobody has scaled
SGD = {"solver": "sgd", "max_iter": 60, "learning_rate": 0.005, "random_state": 0}


def expected_failures(estimator):
    if getattr(estimator, "warm_start", None) == "anchor":
        # the check fits twice and expects the same; an anchored fit goes on from the first, which is what it is for
        return {"check_supervised_y_2d": "a second fit is drawn towards the first"}
    if isinstance(estimator, LateFusionClassifier) and estimator.max_iter == 60:
        # as for scikit-learn's own SGD and MLP: batches of weighted rows are not batches of repeated rows
        reason = "mini-batches of weighted rows differ from mini-batches of repeated rows"
        return {"check_sample_weight_equivalence_on_dense_data": reason}
    return {}


@parametrize_with_checks(
    [
        LateFusionClassifier(),
        LateFusionClassifier(solver="newton-cg"),
        LateFusionClassifier(solver="lbfgs"),
        LateFusionClassifier(solver="lbfgs", fusion="sum"),
        LateFusionClassifier(fusion="sum"),
        LateFusionClassifier(class_weight="balanced"),
        LateFusionClassifier(class_weight="balanced", solver="lbfgs"),
        LateFusionClassifier(warm_start=True),
        LateFusionClassifier(warm_start="anchor"),
        LateFusionClassifier(solver="adamw", **MINI_BATCH),
        LateFusionClassifier(solver="adamw", class_weight="balanced", **MINI_BATCH),
        LateFusionClassifier(**SGD),
        LateFusionClassifier(encoder_dim=16, **MINI_BATCH),
        LateFusionClassifier(fusion="nl-gate", **MINI_BATCH),
        LateFusionClassifier(fusion="gated", **MINI_BATCH),
        LateFusionClassifier(fusion="attention", **MINI_BATCH),
        LateFusionClassifierCV(),
        LateFusionClassifierCV(fusion="sum", class_weight="balanced", warm_start=True),
        ModalityScaler(),
        ModalityScaler(method="l2"),
        ModalityScaler(method="none"),
        PerModality(),
        PerModality(StandardScaler()),
    ],
    expected_failed_checks=expected_failures,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)
