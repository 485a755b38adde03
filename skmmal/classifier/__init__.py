"""The estimator: late fusion of precomputed features, a classifier per modality and one on all of them."""

from skmmal.classifier._late_fusion import LateFusionClassifier
from skmmal.classifier._late_fusion_cv import LateFusionClassifierCV
from skmmal.classifier._prior import ZeroShotPrior
from skmmal.reading import FUSED

__all__ = ["FUSED", "LateFusionClassifier", "LateFusionClassifierCV", "ZeroShotPrior"]
