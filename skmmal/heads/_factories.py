"""Settings of fusion heads; torch is imported when one is built."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from numbers import Integral
from typing import TYPE_CHECKING

from sklearn.base import BaseEstimator

from skmmal._sklearn import Interval, StrOptions

if TYPE_CHECKING:
    import torch

    from skmmal.heads._modules import Fusion
    from skmmal.heads._nl_gate import NLGateFusion
    from skmmal.heads._pooled import AttentionFusion, GatedFusion

__all__ = ["AttentionPooling", "FusionFactory", "GatedUnit", "NLGate"]


class FusionFactory(BaseEstimator):
    """Settings of a fusion head, from which `LateFusionClassifier` builds the head when it is fitted.

    It has scikit-learn's `get_params`, `set_params` and `clone`, so that searches reach its settings
    (``fusion__width``). A factory of your own overrides `build`.

    Examples
    --------
    >>> from skmmal.heads import FusionFactory, GatedUnit
    >>> isinstance(GatedUnit(), FusionFactory)
    True
    >>> GatedUnit(width=32).get_params()
    {'gate': 'softmax', 'width': 32}
    """

    uses_tokens = True
    """Whether the head takes token grids apart; an encoder then works on every token."""

    @abstractmethod
    def build(self, grids: Mapping[str, tuple[int, int]], n_classes: int, generator: torch.Generator | None) -> Fusion:
        """Build the head.

        Parameters
        ----------
        grids : mapping of str to (int, int)
            Tokens and their width in each modality's embedding; a modality that is no grid has one token.
        n_classes : int
            Number of classes.
        generator : torch.Generator or None
            Draws the initial weights.

        Returns
        -------
        Fusion
        """


class GatedUnit(FusionFactory):
    """Gated multimodal unit: every hidden feature chooses between the modalities.

    With z_m a modality's embedding (the mean over its tokens) and z all of them side by side,

    ``h = Σ_m g_m ⊙ tanh(A_m z_m + a_m)``,  ``g = softmax_m(B z + c)`` or ``g = σ(B z + c)``,

    and the last layer is linear in h. An absent modality counts as zero in z, has no gate, and a softmax is over the
    present ones alone.

    Parameters
    ----------
    width : int, default=128
        Width of h.
    gate : {"softmax", "sigmoid"}, default="softmax"
        ``"softmax"``: for each feature, the gates of a row sum to one; with two modalities this is the paper's
        bimodal unit, ``g`` and ``1 − g``. ``"sigmoid"``: independent gates, the paper's unit for more modalities.

    References
    ----------
    .. [1] Arevalo et al., "Gated multimodal units for information fusion", ICLR 2017 workshop (arXiv 1702.01992),
       section 3. Absent modalities are our extension.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.heads import GatedUnit
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> clf = LateFusionClassifier(fusion=GatedUnit(width=32), max_iter=20, random_state=0)
    >>> clf.fit(X[::2], y[::2]).embed(X)["fou"].shape
    (2000, 32)
    """

    _parameter_constraints: dict = {
        "width": [Interval(Integral, 1, None, closed="left")],
        "gate": [StrOptions({"softmax", "sigmoid"})],
    }

    def __init__(self, width: int = 128, gate: str = "softmax") -> None:
        self.width = width
        self.gate = gate

    def build(
        self, grids: Mapping[str, tuple[int, int]], n_classes: int, generator: torch.Generator | None
    ) -> GatedFusion:
        from skmmal.heads._pooled import GatedFusion

        self._validate_params()
        return GatedFusion(list(grids.values()), self.width, self.gate, n_classes, generator)


class AttentionPooling(FusionFactory):
    """Attention over modalities: a row's fused vector is a weighted mean of one vector per modality.

    With z_m a modality's embedding (the mean over its tokens),

    ``v_m = A_m z_m + a_m``,  ``w = softmax_m(uᵀ tanh(V v_m + c))``,  ``h = Σ_m w_m v_m``,

    and the last layer is linear in h. V, c and u are shared by the modalities. The softmax is over the present
    modalities alone: a row with one modality is that modality's v.

    Parameters
    ----------
    width : int, default=128
        Width of the common space of v and h.

    References
    ----------
    .. [1] Ilse, Tomczak and Welling, "Attention-based deep multiple instance learning", ICML 2018
       (arXiv 1802.04712), equation 8, with a row's modalities as the bag; the maps into a common space are ours.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.heads import AttentionPooling
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> clf = LateFusionClassifier(fusion=AttentionPooling(width=32), max_iter=20, random_state=0)
    >>> clf.fit(X[::2], y[::2]).embed(X)["fou"].shape
    (2000, 32)
    """

    _parameter_constraints: dict = {"width": [Interval(Integral, 1, None, closed="left")]}

    def __init__(self, width: int = 128) -> None:
        self.width = width

    def build(
        self, grids: Mapping[str, tuple[int, int]], n_classes: int, generator: torch.Generator | None
    ) -> AttentionFusion:
        from skmmal.heads._pooled import AttentionFusion

        self._validate_params()
        return AttentionFusion(list(grids.values()), self.width, n_classes, generator)


class NLGate(FusionFactory):
    """Non-local gate: the query modality's tokens attend to the tokens of all modalities.

    With x_i the query modality's tokens and y_j all modalities' tokens (the query's among them),

    ``o_i = x_i + H Σ_j softmax_j(θ(x_i) · φ_m(y_j) / √w) g_m(y_j)``,

    m the modality of token j, θ, φ_m, g_m linear layers of width w; the last layer is linear in the mean of the o_i.
    A feature vector that is no grid is one token.

    The tokens of an absent modality are left out of the softmax. Where the query modality itself is absent, its
    tokens are zero: the queries are then θ's intercept, a learned vector (zero at first, so that attention starts as
    the mean over the present tokens), and the sum over x_i is nothing.

    Parameters
    ----------
    query : str, int or None, default=None
        The modality that asks, by name or position. ``None`` is the first one.
    width : int or None, default=None
        Width w of keys and values; ``None`` is half the width of the query's tokens, as in the papers.
    n_heads : int, default=1
        Attention heads, which share w evenly.

    Notes
    -----
    It is meant for token grids: the result lives in the space of the query's tokens. On single feature vectors
    `GatedUnit` is the better choice (:doc:`/results/fusion`).

    Multiplications per row, with T tokens of width d in all and T_q of them asking: (T + T_q) d w for keys and
    queries, T_q T w for the attention; values cost next to nothing, as the mean over the queries is taken first
    (measured: :doc:`/results/fusion`). Differences from the papers' gate: tokens of the modalities stand one after the
    other (theirs are stacked as channels after pooling the video in space, which needs grids that match), scores are
    divided by √(w / n_heads), several heads are possible, H has no intercept (the last layer has one), the
    result is averaged and classified (theirs goes through another convolution stage). Absent modalities are ours.

    References
    ----------
    .. [1] Wang, Tran and Feiszli, "What makes training multi-modal classification networks hard?", CVPR 2020,
       section 1.1 and supplement (NL gates).
    .. [2] Wang et al., "Non-local neural networks", CVPR 2018, section 3.2 (embedded Gaussian).
    .. [3] Shen et al., "Towards balanced active learning for multimodal classification", ACM MM 2023
       (arXiv 2306.08306), its code (``model/avmodel_nl_gate.py``): video is the query.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal import LateFusionClassifier, MultimodalArray
    >>> from skmmal.heads import NLGate
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 3
    >>> video = rng.normal(size=(60, 4, 8)) + y[:, None, None]  # 4 tokens of width 8
    >>> X = MultimodalArray({"audio": rng.normal(size=(60, 2, 6)), "video": video})
    >>> clf = LateFusionClassifier(fusion=NLGate(query="video"), random_state=0).fit(X, y)
    >>> {name: values.shape for name, values in clf.embed(X).items()}
    {'audio': (60, 8), 'video': (60, 8)}
    """

    _parameter_constraints: dict = {
        "query": [str, Integral, None],
        "width": [Interval(Integral, 1, None, closed="left"), None],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, query: str | int | None = None, width: int | None = None, n_heads: int = 1) -> None:
        self.query = query
        self.width = width
        self.n_heads = n_heads

    def build(
        self, grids: Mapping[str, tuple[int, int]], n_classes: int, generator: torch.Generator | None
    ) -> NLGateFusion:
        """Build the head.

        Parameters
        ----------
        grids : mapping of str to (int, int)
            Tokens and their width in each modality's embedding; a modality that is no grid has one token.
        n_classes : int
            Number of classes.
        generator : torch.Generator or None
            Draws the initial weights.

        Returns
        -------
        NLGateFusion

        Raises
        ------
        ValueError
            There is no such query modality, or `width` cannot be shared evenly by the heads.
        """
        from skmmal.heads._nl_gate import NLGateFusion

        self._validate_params()
        names = list(grids)
        query = 0 if self.query is None else self.query
        if isinstance(query, str):
            if query not in grids:
                raise ValueError(f"NLGate: query={query!r} is no modality; there are {names}")
            query = names.index(query)
        elif not 0 <= query < len(names):
            raise ValueError(f"NLGate: query={query} is out of range for the {len(names)} modalities {names}")
        width = self.width
        if width is None:  # half, brought to a multiple of the heads
            width = self.n_heads * max(1, grids[names[query]][1] // 2 // self.n_heads)
        if width % self.n_heads:
            raise ValueError(f"NLGate: width={width} cannot be shared evenly by n_heads={self.n_heads}")
        return NLGateFusion(list(grids.values()), query, width, self.n_heads, n_classes, generator)
