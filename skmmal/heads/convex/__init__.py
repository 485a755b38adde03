"""The convex case: heads that are softmax regressions over fixed features, solved to their unique optimum."""

from skmmal.heads.convex._blocks import mean_rows
from skmmal.heads.convex._fit import Anchor, LabeledRows, fit_layers
from skmmal.heads.convex._folds import Fold, FusedFolds
from skmmal.heads.convex._problem import LinearMap

__all__ = ["Anchor", "Fold", "FusedFolds", "LabeledRows", "LinearMap", "fit_layers", "mean_rows"]
