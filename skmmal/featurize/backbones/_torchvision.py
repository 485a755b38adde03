"""Any torchvision classification or video model: the features before its classifier, or its last grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from skmmal.featurize._compat import import_torchvision
from skmmal.featurize.backbones._common import ModelSpec, is_weight_file, load_state, seeded

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def load(spec: ModelSpec) -> tuple[nn.Module, Callable[[Any], torch.Tensor]]:
    """Return a model and its weights' own preprocessing.

    Parameters
    ----------
    spec : ModelSpec
        Its name as in ``torchvision.models.list_models()``; its weights ``DEFAULT`` or another name of the model's
        weights, a state dict's file, or ``random`` (see `tame`). The last two take the preprocessing of the default
        weights.

    Returns
    -------
    module : torch.nn.Module
    transform : callable
    """
    import_torchvision()
    from torchvision.models import get_model, get_model_weights, list_models

    name, weights, seed = spec.name, spec.weights, spec.seed
    if name not in list_models():
        raise ValueError(f"torchvision has no model {name!r}; torchvision.models.list_models() names them")
    known = get_model_weights(name)
    if weights == "random":
        transform = known["DEFAULT"].transforms()
        return seeded(lambda: tame(get_model(name, weights=None), lambda: _noise(name, transform)), seed), transform
    if is_weight_file(weights):
        path = Path(weights)
        if not path.is_file():
            raise ValueError(f"the weights {path} are not a file")
        module = seeded(lambda: get_model(name, weights=None), seed)
        return load_state(module, path).eval(), known["DEFAULT"].transforms()
    if weights not in known.__members__:
        raise ValueError(f"{name} has no weights {weights!r}; it has {list(known.__members__)}, a file, or random")
    entry = known[weights]
    return get_model(name, weights=entry).eval(), entry.transforms()


def tame(module: nn.Module, noise: Callable[[], torch.Tensor]) -> nn.Module:
    """Give untrained batch normalisation the scale of what it sees, and switch the model to evaluation.

    As they are initialised these layers let everything through, and the features of a deep network overflow
    float16. One number per layer, a power of two: the same whatever the number of threads.
    """
    scales: dict[nn.Module, float] = {}

    def note(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        scales[layer] = float(2.0 ** inputs[0].var().clamp(min=1e-6).log2().round())

    layers = [layer for layer in module.modules() if isinstance(layer, BATCH_NORMS)]
    if layers:
        handles = [layer.register_forward_pre_hook(note) for layer in layers]
        with torch.no_grad():
            module.train()(noise())
        for handle in handles:
            handle.remove()
        for layer in layers:
            layer.reset_running_stats()
            if layer.running_var is not None and layer in scales:
                layer.running_var.fill_(scales[layer])
    return module.eval()


def _noise(name: str, transform: Callable[[Any], torch.Tensor]) -> torch.Tensor:
    """Return a batch of two noisy inputs of the size that a model takes."""
    if is_video_model(name):
        clips = (torch.randint(0, 256, (16, 3, 128, 171), dtype=torch.uint8) for _ in range(2))
        return torch.stack([transform(clip) for clip in clips])
    pictures = (torch.randint(0, 256, (3, 256, 256), dtype=torch.uint8) for _ in range(2))
    return torch.stack([transform(picture) for picture in pictures])


def is_video_model(name: str) -> bool:
    """Whether torchvision's model takes clips."""
    import_torchvision()
    from torchvision.models import list_models, video

    return name in list_models(module=video)


def feature_extractor(module: nn.Module, example: torch.Tensor, *, tokens: bool) -> tuple[nn.Module, Any]:
    """Cut a classification model before its classifier.

    Parameters
    ----------
    module : torch.nn.Module
        A model that torch.fx can trace, as all of torchvision's are.
    example : Tensor
        One input, with its batch axis.
    tokens : bool
        Take the last feature map, or the transformer's last tokens, instead of what is pooled from it.

    Returns
    -------
    extractor : torch.nn.Module
        Gives features of shape (units, dim), or (units, tokens, dim).
    width : int or (int, int)

    Raises
    ------
    ValueError
        The model cannot be cut, or is not what it was when traced.
    """
    import_torchvision()
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    last = get_graph_node_names(module, suppress_diff_warning=True)[1][-1]
    traced = create_feature_extractor(module, return_nodes=[last], suppress_diff_warning=True)
    _check_faithful(module, traced, last, example)
    graph = traced.graph
    nodes = [node for node in graph.nodes if node.op != "output"]
    node = _penultimate(traced, nodes)
    if tokens:
        with torch.inference_mode():
            _Shapes(traced).run(example)
        node = _last_grid(node)
    (output,) = (found for found in graph.nodes if found.op == "output")
    output.args = (node,)
    graph.eliminate_dead_code()
    cut = fx.GraphModule(traced, graph)  # holds the layers that are left, and no others
    wrapped = _Cut(cut, tokens).eval()
    with torch.inference_mode():
        shape = wrapped(example).shape[1:]
    return wrapped, (int(shape[0]) if len(shape) == 1 else (int(shape[0]), int(shape[1])))


def _check_faithful(module: nn.Module, traced: nn.Module, last: str, example: torch.Tensor) -> None:
    """Refuse a model that tracing changes (torchvision 0.28's mvit models are such)."""
    noise = torch.rand(example.shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, found = module(noise), traced(noise)[last]
    if not torch.allclose(expected, found, rtol=1e-3, atol=1e-4 * float(expected.abs().max())):
        raise ValueError(
            f"torchvision's feature extraction changes what {type(module).__name__} computes; choose another model"
        )


class _Cut(nn.Module):
    """Features of shape (units, dim), averaged over the positions of a map; or (units, tokens, dim), one for each."""

    def __init__(self, extractor: nn.Module, tokens: bool) -> None:
        super().__init__()
        self.extractor, self.tokens = extractor, tokens

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        features = self.extractor(inputs)
        if self.tokens:
            return features if features.ndim == 3 else features.flatten(2).transpose(1, 2)
        return features.flatten(2).mean(2) if features.ndim > 2 else features


def _penultimate(graph: fx.GraphModule, nodes: list[fx.Node]) -> fx.Node:
    """Return what the classifier (the last linear layer, or convolution where there is none) is given."""
    modules = dict(graph.named_modules())
    for kind in ((nn.Linear,), CONVOLUTIONS):
        for node in reversed(nodes):
            if node.op == "call_module" and isinstance(modules[str(node.target)], kind):
                source = node.all_input_nodes[0]
                while source.op == "call_module" and isinstance(modules[str(source.target)], nn.Dropout):
                    source = source.all_input_nodes[0]  # does nothing when a model is evaluated
                return source
    raise ValueError("the model has no linear or convolutional layer to take features before")


def _last_grid(node: fx.Node) -> fx.Node:
    """Walk back to the last node with several positions."""
    while True:
        shape = node.meta.get("shape", ())
        if len(shape) == 3:
            positions = shape[1]
        else:  # channels stand second; where they stand last and there is one position, the second axis is 1
            positions = math.prod(shape[2:]) if len(shape) > 3 and shape[1] > 1 else 1
        if positions > 1:
            return node
        if not node.all_input_nodes or node.op == "placeholder":
            raise ValueError("the model has no grid of features before its classifier; do without --tokens")
        node = node.all_input_nodes[0]


class _Shapes(fx.Interpreter):
    """Runs a traced model and notes the shape of what every node gives."""

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Hand out lists that may be changed, as some of torchvision's functions do."""
        plain = tuple(list(value) if isinstance(value, list) else value for value in args)
        return super().call_function(target, plain, kwargs)

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        n.meta["shape"] = tuple(result.shape) if isinstance(result, torch.Tensor) else ()
        return result
