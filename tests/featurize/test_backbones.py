"""Cutting torchvision models, hashing weights, and importing beside a torch that does not fit."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch
from PIL import Image

from skmmal.featurize.backbones import _torchvision as tv
from skmmal.featurize.backbones._common import ModelSpec, describe, load_state, state_sha256, versions

MODELS = [
    ("squeezenet1_1", 512, (169, 512)),
    ("mobilenet_v3_small", 1024, (49, 576)),
    ("convnext_tiny", 768, (49, 768)),
    ("regnet_x_400mf", 400, (49, 400)),
    ("shufflenet_v2_x1_0", 1024, (49, 1024)),
]


@pytest.mark.parametrize(("name", "width", "grid"), MODELS)
def test_features_are_what_the_classifier_is_given(name, width, grid):
    module, transform = tv.load(ModelSpec("torchvision", name, "random"))
    example = transform(Image.new("RGB", (300, 200))).unsqueeze(0)
    extractor, found = tv.feature_extractor(module, example, tokens=False)
    assert found == width
    seen = []
    linear = [layer for layer in module.modules() if isinstance(layer, torch.nn.Linear)]
    classifier = linear[-1] if linear else module.classifier[1]  # squeezenet ends in a convolution
    classifier.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    x = torch.rand(2, *example.shape[1:], generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        module(x)
        expected = seen[-1] if linear else seen[-1].mean((2, 3))
        torch.testing.assert_close(extractor(x), expected)
    tokens, found = tv.feature_extractor(module, example, tokens=True)
    assert found == grid
    with torch.inference_mode():
        assert tokens(x).shape == (2, *grid)


def test_a_model_that_tracing_changes_is_refused():
    class Moody(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head = torch.nn.Linear(3, 2)
            self.traced = False

        def forward(self, x):
            if isinstance(x, torch.fx.Proxy):
                x = x * 2
            return self.head(x.mean((2, 3)))

    with pytest.raises(ValueError, match="changes what Moody computes"):
        tv.feature_extractor(Moody().eval(), torch.zeros(1, 3, 8, 8), tokens=False)


def test_hashes_tell_weights_apart(tmp_path):
    torch.manual_seed(0)
    one, other = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    assert state_sha256(one) != state_sha256(other)
    torch.save({"state_dict": {f"module.{name}": value for name, value in one.state_dict().items()}}, tmp_path / "w.pt")
    assert state_sha256(load_state(other, tmp_path / "w.pt")) == state_sha256(one)
    assert state_sha256(one) != state_sha256(torch.nn.Linear(3, 2).bfloat16())
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="holds no state dict"):
        load_state(other, tmp_path / "list.pt")
    about = describe("library/name", str(tmp_path / "w.pt"), one, {}, ("torch", "no-such-package"))
    assert about["weights"] == "w.pt"
    assert about["versions"]["no-such-package"] == "absent"
    assert versions(["torch"])["torch"].startswith(torch.__version__.split("+")[0])


def run_python(code, *arguments, **environment):
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_torchvision_torchaudio_and_transformers_import_here():
    """Whatever this machine's wheels are linked against, and also after a plain import has failed."""
    code = """
    try:
        import torchvision
    except (RuntimeError, ImportError, OSError):
        pass
    from skmmal.featurize._compat import import_torchaudio, import_torchvision, import_transformers
    torchvision, torchaudio = import_torchvision(), import_torchaudio()
    assert import_torchvision() is torchvision and import_torchaudio() is torchaudio
    import_transformers()
    import torch
    from transformers import AutoImageProcessor, BertModel
    from torchvision.transforms import v2
    assert torchvision.models.resnet18(weights=None).eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)
    assert torchaudio.transforms.Spectrogram()(torch.zeros(1, 1000)).shape[1] == 201
    print("fine")
    """
    assert run_python(code) == "fine\n"


def test_where_the_plain_import_works_nothing_is_touched(tmp_path):
    for name in ("torchvision", "torchaudio"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("works = True")
    code = """
    import sys
    sys.path.insert(0, sys.argv[1])
    import torch
    from pathlib import Path
    from skmmal.featurize import _compat
    glob = Path.glob
    assert _compat.import_torchvision().works and _compat.import_torchaudio().works
    assert _compat._kept == [] and Path.glob is glob
    assert not hasattr(torch.ops.torchvision, "nms")
    print("untouched")
    """
    assert run_python(code, tmp_path) == "untouched\n"


@pytest.mark.parametrize("cuda", [True, False])
def test_other_failures_are_not_hidden(tmp_path, cuda):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("raise RuntimeError('broken for another reason')")
    code = """
    import sys
    sys.path.insert(0, sys.argv[1])
    import torch
    if sys.argv[2] == "True":
        torch.version.cuda = "13.0"
    from skmmal.featurize import _compat
    try:
        _compat.import_torchvision()
    except RuntimeError as error:
        print(error, len(_compat._kept))
    """
    assert run_python(code, tmp_path, cuda) == f"broken for another reason {0 if cuda else 1}\n"
