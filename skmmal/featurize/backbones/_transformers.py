"""Any transformers encoder: text, vision, audio, or one tower of a model that has two.

What a class of models does is found out by running it, not by a list of names: which of its tokens stand for no
part of the input (CLS, registers, distillation, detection), whether later tokens reach the first, whether padding
reaches the result, whether two runs agree.
"""

from __future__ import annotations

import inspect
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from skmmal.featurize._compat import import_transformers
from skmmal.featurize._encoding import Inputs
from skmmal.featurize.backbones._common import ModelSpec, is_weight_file, load_state, one_line, seeded

Forward = Callable[[nn.Module, Inputs], torch.Tensor]

TOWERS = {
    "text": ("text_model",),
    "vision": ("vision_model", "image_model", "vision_tower", "visual"),
    "audio": ("audio_model", "audio_tower"),
}
PREFIXES = ("cls_token", "class_token", "class_embedding", "distillation_token", "register_tokens")
"""Parameters that transformers' vision models put in front of their patches."""
UNUSED = ("mask_token", "masked_spec_embed")
"""Parameters that only training needs."""


def config_of(spec: ModelSpec) -> Any:
    """Return a model's configuration, from where its weights are."""
    import_transformers()
    from transformers import AutoConfig

    weights = spec.weights
    return AutoConfig.from_pretrained(
        spec.name if weights in ("DEFAULT", "random") or is_weight_file(weights) else weights
    )


def load(spec: ModelSpec, *, headed: bool = False) -> tuple[nn.Module, frozenset[str]]:
    """Return a model without its head, and the parameters its weights do not hold.

    Parameters
    ----------
    spec : ModelSpec
        Its name is a folder that ``save_pretrained`` wrote, or a name on the hub; its weights are ``DEFAULT`` (the
        model's own), another folder or name of the same kind of model, a state dict's file, or ``random``. The seed is
        also that of weights that are missing.
    headed : bool
        Take the class that the configuration names, with the head that it has.

    See Also
    --------
    check_weights : Refuses what would be computed from missing weights.
    """
    import_transformers()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads do not survive the workers' fork
    weights, seed = spec.weights, spec.seed
    place = spec.name if weights in ("DEFAULT", "random") or is_weight_file(weights) else weights
    config = config_of(spec)
    model = _model_class(config, headed)

    def scratch() -> nn.Module:
        return model.from_config(config) if hasattr(model, "from_config") else model(config)

    if weights == "random":
        return seeded(scratch, seed).float().eval(), frozenset()
    if is_weight_file(weights):
        if not Path(weights).is_file():
            raise ValueError(f"the weights {weights} are not a file")
        return load_state(seeded(scratch, seed).float(), Path(weights)).eval(), frozenset()
    missing: set[str] = set()

    def stored() -> nn.Module:
        module, report = model.from_pretrained(place, output_loading_info=True)
        # named from the model with a head, up to transformers 4
        missing.update(name.removeprefix(f"{module.base_model_prefix}.") for name in report["missing_keys"])
        return module

    return seeded(stored, seed).float().eval(), frozenset(missing)


def _model_class(config: Any, headed: bool) -> Any:
    """Return what loads a configuration: AutoModel, or the class that it names where that knows none."""
    import transformers

    if headed or type(config) not in transformers.MODEL_MAPPING:
        for name in getattr(config, "architectures", None) or ():
            if hasattr(transformers, name):  # such as one side of SigLIP, saved alone
                return getattr(transformers, name)
    return transformers.AutoModel


def check_weights(module: nn.Module, used: nn.Module, missing: Collection[str], *, pooler: bool) -> None:
    """Refuse a part of a model whose weights were made up because the folder has none.

    Parameters
    ----------
    module : torch.nn.Module
        What `load` gave.
    used : torch.nn.Module
        The part of it whose output is taken.
    missing : collection of str
        What `load` gave.
    pooler : bool
        Whether the pooling layer is used; checkpoints of models with a head of their own lack it.
    """
    absent = {id(tensor): name for name, tensor in module.named_parameters() if name in missing}
    names = [absent[id(tensor)] for tensor in used.parameters() if id(tensor) in absent]
    names = [name for name in names if name.rpartition(".")[2] not in UNUSED and (pooler or "pooler" not in name)]
    if not names:
        return
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    if all("pooler" in name for name in names):
        raise ValueError(f"the weights hold no pooling layer ({shown}), so --pooling pooled would be random: take cls")
    raise ValueError(f"the weights lack {len(names)} of this model's parameters ({shown}): they are of another model")


def source(spec: ModelSpec) -> str:
    """Return where the tokenizer or processor lies: with the weights, where these are a folder of their own."""
    return spec.weights if Path(spec.weights).is_dir() else spec.name


def load_part(loader: str, place: str, what: str) -> Any:
    """Load the tokenizer or processor of a folder, or of a name on the hub, by transformers' class for it."""
    import transformers

    try:
        return getattr(transformers, loader).from_pretrained(place)
    except Exception as error:  # the ways a folder may lack one are many
        raise ValueError(f"{place} has no {what} that transformers can load: {one_line(error)}") from error


def tower(module: Any, kind: str) -> nn.Module:
    """Return the encoder of one kind: the vision, text or audio side of a model that has two, else the model."""
    for name in TOWERS[kind]:
        side = getattr(module, name, None)
        if isinstance(side, nn.Module):
            return side
    config = getattr(module, "config", None)
    if getattr(config, "is_encoder_decoder", False):
        return module.get_encoder()
    return module


def accepted(call: Callable[..., Any], inputs: Mapping[str, torch.Tensor]) -> Inputs:
    """Keep the inputs that a call names: tokenizers and processors make some that not every model takes."""
    parameters = inspect.signature(call).parameters.values()
    named = {parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD}
    return {key: value for key, value in inputs.items() if key in named} if named else dict(inputs)


def run(module: nn.Module, inputs: Mapping[str, torch.Tensor]) -> Any:
    """Call a model with what it takes."""
    return module(**accepted(module.forward, inputs))


def hidden(output: Any) -> torch.Tensor:
    """Return the last hidden state as float32 of shape (units, tokens, dim)."""
    states = output.last_hidden_state.float()  # sums of half precision would lose more than its rounding
    return states if states.ndim == 3 else states.flatten(2).transpose(1, 2)


def own_pooled(output: Any) -> torch.Tensor | None:
    """Return the model's own pooled output as float32 of shape (units, dim), if it has one."""
    found = getattr(output, "pooler_output", None)
    return None if found is None else found.float().flatten(1)


def attention_pooled(module: nn.Module, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return what a model's own attention pooling gives, as float32 of shape (units, dim)."""
    heads = (part for part in module.modules() if re.search(r"Atten\w*Pool", type(part).__name__))
    head = next(heads, None)
    if head is None:
        raise ValueError("it has no attention pooling of its own; take --pooling mean or pooled")
    found: list[torch.Tensor] = []
    handle = head.register_forward_hook(lambda part, given, made: found.append(made))
    try:
        run(module, inputs)
    finally:
        handle.remove()
    return found[0].float().flatten(1)


def masked_mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean of states (units, tokens, dim) over the tokens that `mask` (units, tokens) keeps."""
    weights = mask.to(states.dtype).unsqueeze(-1)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)


def projected(module: nn.Module, kind: str, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the embedding that a two-tower model compares across modalities, of shape (units, dim)."""
    call = getattr(module, f"get_{kind}_features")
    output = call(**accepted(call, inputs))
    # a tensor up to transformers 4; since 5 an output whose pooled part is the projection
    features = output if isinstance(output, torch.Tensor) else output.pooler_output
    if not isinstance(features, torch.Tensor) or features.ndim != 2:
        raise ValueError(f"{type(module).__name__} has no single embedding for {kind}; take --pooling cls or mean")
    return features


@dataclass(frozen=True)
class PooledForward(ABC):
    """How a batch becomes features. What it is that is encoded, a subclass knows.

    Parameters
    ----------
    pooling : str
        ``projected`` (the embedding that two towers share), ``pooled`` (the model's own), ``attention`` (its attention
        pooling), ``tokens``, or what the subclass makes of the last hidden states.
    """

    pooling: str

    kind: ClassVar[str]
    """Of the items, as transformers' ``get_{kind}_features`` says."""

    def __call__(self, module: nn.Module, inputs: Inputs) -> torch.Tensor:
        """Return features of shape (units, dim) or (units, tokens, dim)."""
        given = self.given(inputs)
        if self.pooling == "projected":
            return projected(module, self.kind, given).float()
        if self.pooling == "attention":
            return attention_pooled(module, given)
        output = run(module, given)
        pooled = own_pooled(output) if self.pooling == "pooled" else None
        return self.pool(module, hidden(output), inputs) if pooled is None else pooled

    def given(self, inputs: Inputs) -> Inputs:
        """Return what the model is given of a batch."""
        return inputs

    @abstractmethod
    def pool(self, module: nn.Module, states: torch.Tensor, inputs: Inputs) -> torch.Tensor:
        """Make features of the last hidden states (units, tokens, dim)."""


# ------------------------------------------------------------------------------------------------------- probes


def no_part(module: nn.Module, one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> tuple[int, int]:
    """Count the tokens that stand for no part of the input: CLS, registers, distillation, detection.

    These enter the first layer unchanged whatever the input.

    Parameters
    ----------
    module : torch.nn.Module
    one, other : mapping of str to Tensor
        Two batches of one unit that differ everywhere, none of it padding.

    Returns
    -------
    front, behind : int
        Such tokens of the last hidden state before and behind those that stand for something.
    """
    with torch.inference_mode():
        first, second = (module(**accepted(module.forward, x), output_hidden_states=True) for x in (one, other))
    if first.last_hidden_state.ndim != 3:
        return 0, 0  # a feature map has positions and nothing else
    n_tokens = first.last_hidden_state.shape[1]
    states = [getattr(output, "hidden_states", None) for output in (first, second)]
    if states[0] and states[1] and states[0][0].shape == first.last_hidden_state.shape:
        differ = torch.nonzero((states[0][0] != states[1][0]).any(dim=-1)[0])[:, 0]
        if len(differ) == 0:
            raise ValueError(f"{type(module).__name__} has tokens that do not depend on the input")
        found = int(differ[0]), n_tokens - 1 - int(differ[-1])
        if found != (0, 0):
            return found
    # the states do not begin at the embedding, or have other tokens there
    tokens = {
        id(tensor): tensor.numel() // tensor.shape[-1]
        for name, tensor in module.named_parameters()
        if name.rpartition(".")[2] in PREFIXES
    }
    return sum(tokens.values()), 0


def trial(module: nn.Module, forward: Forward, inputs: Inputs, kind: str) -> torch.Tensor:
    """Run a model once before a job begins, so that what it cannot do is said then and not of every item."""
    try:
        with torch.inference_mode():
            return forward(module, inputs)
    except Exception as error:
        reason = f"{type(error).__name__}: {one_line(error)}" if str(error) else repr(error)
        if isinstance(error, ValueError):
            reason = str(error)
        raise ValueError(f"{type(module).__name__} cannot be used for {kind} here: {reason}") from error


def output_of(module: nn.Module, inputs: Inputs, kind: str) -> Any:
    """Return a model's whole output for a batch, tried out as `trial` does."""
    outputs: list[Any] = []

    def keep(module: nn.Module, inputs: Inputs) -> torch.Tensor:
        outputs.append(run(module, inputs))
        return hidden(outputs[0])

    trial(module, keep, inputs, kind)
    return outputs[0]


def agree(one: torch.Tensor, other: torch.Tensor, tolerance: float = 1e-5) -> bool:
    """Whether two results are the same up to rounding, measured by the largest magnitude."""
    return bool((one - other).abs().max() <= tolerance * one.abs().max().clamp(min=1e-6))


def check_features(
    module: nn.Module,
    forward: Forward,
    one: Inputs,
    other: Inputs,
    kind: str,
    hint: str = "",
) -> Any:
    """Refuse a model whose features change from run to run, or do not change with the input; return their width.

    Parameters
    ----------
    module, forward
        What makes features of a batch.
    one, other : dict of Tensor
        Two batches of one unit that differ everywhere.
    kind : str
        What is encoded, for the message.
    hint : str
        The way out where features do not change with the input.

    Returns
    -------
    int or (int, int)
    """
    features = trial(module, forward, one, kind)
    if features.ndim not in (2, 3):
        raise ValueError(f"{type(module).__name__} gives features of shape {tuple(features.shape[1:])} for one {kind}")
    if not agree(features, trial(module, forward, one, kind)):
        raise ValueError(f"{type(module).__name__} gives other features each time (it masks or samples at random)")
    if features.shape[0] == 1 and agree(features, trial(module, forward, other, kind), 1e-7):
        raise ValueError(f"{type(module).__name__} gives the same features whatever the {kind}{hint}")
    shape = features.shape[1:]
    return int(shape[0]) if len(shape) == 1 else (int(shape[0]), int(shape[1]))
