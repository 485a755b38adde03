"""Small random models of every kind, and the code of their documentation (see measure_encoders.py)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import torch

from skmmal.featurize._compat import import_torchaudio, import_torchvision, import_transformers

import_torchvision()
import_transformers()
import sentence_transformers  # noqa: E402
import timm  # noqa: E402
import transformers as tf  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers, processors  # noqa: E402

WORDS = [
    *("the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "seven", "wizards", "mix"),
    *("potions", "in", "silence", "Instruct", "Query", ":"),
]
VOCABULARY = {word: index for index, word in enumerate(["<pad>", "<unk>", "<s>", "</s>", "<mask>", *WORDS])}
LAYERS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
TEXT = {"vocab_size": len(VOCABULARY), "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, **LAYERS}
TEXT |= {"max_position_embeddings": 40}
CAUSAL = {**TEXT, "num_key_value_heads": 1, "head_dim": 16}
PATCHES = {**LAYERS, "image_size": 32, "patch_size": 16}
CONV = {"conv_dim": (16,) * 3, "conv_stride": (5, 4, 4), "conv_kernel": (10, 8, 4), "num_feat_extract_layers": 3}
WAVES = {**CONV, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, "vocab_size": 30, **LAYERS}
WHISPER = {"vocab_size": 60, "d_model": 32, "num_mel_bins": 20, "max_source_positions": 50, "pad_token_id": 0}
WHISPER |= {f"{side}_layers": 2 for side in ("encoder", "decoder")}
WHISPER |= {f"{side}_attention_heads": 2 for side in ("encoder", "decoder")}
WHISPER |= {f"{side}_ffn_dim": 48 for side in ("encoder", "decoder")}
CLAP_AUDIO = {"hidden_size": 16, "patch_embeds_hidden_size": 8, "depths": [1, 1], "num_attention_heads": [2, 2]}
CLAP_AUDIO |= {"num_mel_bins": 32, "spec_size": 64, "window_size": 4}
INSTRUCTION = "Instruct: mix potions\nQuery:"
SMALL = {"height": 32, "width": 32}
RATE = 16000


def tokenizer(before: str | None = "<s>", after: str | None = "</s>", side: str = "right") -> Any:
    """Return a tokenizer of words that puts tokens of its own around a text."""
    made = Tokenizer(models.WordLevel(VOCABULARY, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    own = [(token, VOCABULARY[token]) for token in (before, after) if token]
    template = " ".join(part for part in (before, "$A", after) if part)
    made.post_processor = processors.TemplateProcessing(single=template, special_tokens=own)
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    return tf.PreTrainedTokenizerFast(tokenizer_object=made, padding_side=side, model_max_length=40, **names)


def saved(config: Any, *parts: Any, model: Any = None) -> Callable[[Path], None]:
    """Return what saves a random model of a configuration, and what belongs to it, into a folder."""

    def save(folder: Path) -> None:
        torch.manual_seed(1)
        module = model(config) if model else tf.AutoModel.from_config(config)
        with torch.no_grad():
            for value in module.parameters():
                if value.ndim > 1:
                    value.mul_(2.0)  # so that tokens differ
        for part in (module, *parts):
            part.save_pretrained(folder)

    return save


def state(build: Callable[[], torch.nn.Module]) -> Callable[[Path], None]:
    """Return what saves the weights of a random model."""

    def save(folder: Path) -> None:
        torch.manual_seed(1)
        torch.save(build().state_dict(), folder / "weights.pt")

    return save


def sentence_folder(folder: Path) -> None:
    """Save a sentence-transformers model with mean pooling, normalization and a prompt."""
    from sentence_transformers import models as parts

    saved(tf.BertConfig(**TEXT), tokenizer())(folder / "transformer")
    first = parts.Transformer(str(folder / "transformer"), max_seq_length=12)
    modules = [first, parts.Pooling(32, pooling_mode="mean"), parts.Normalize()]
    made = sentence_transformers.SentenceTransformer(modules=modules, device="cpu")
    made.prompts, made.default_prompt_name = {"query": "seven wizards "}, "query"
    made.save(str(folder))


def qwen_folder(folder: Path) -> None:
    """Save a sentence-transformers model as Qwen3-Embedding is published: the last token, to length one."""
    from sentence_transformers import models as parts

    saved(tf.Qwen3Config(**CAUSAL), tokenizer(None, "</s>", "left"))(folder / "transformer")
    modules = [parts.Transformer(str(folder / "transformer")), parts.Pooling(32, pooling_mode="lasttoken")]
    made = sentence_transformers.SentenceTransformer(modules=[*modules, parts.Normalize()], device="cpu")
    made.save(str(folder))


def clip_folder(folder: Path) -> None:
    """Save a model as open_clip does."""
    import json

    import open_clip

    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
        "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    }
    means = {"mean": [0.48, 0.45, 0.4], "std": [0.27, 0.26, 0.28]}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": means}))
    torch.manual_seed(0)
    made = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    torch.save(made.state_dict(), folder / "open_clip_pytorch_model.bin")


@dataclass
class Case:
    """A model, how a job pools it, and what its documentation does, as code that gives ``features`` of one item."""

    kind: str
    name: str
    save: Callable[[Path], None]
    code: str
    pooling: str | None = None
    model: str = "transformers/{folder}"
    weights: str = "DEFAULT"
    settings: dict[str, Any] = field(default_factory=dict)


HIDDEN = """
model, processor = AutoModel.from_pretrained(folder), {loader}.from_pretrained(folder)
inputs = processor({item}, return_tensors="pt"{more})
"""
TOKENS = """
model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
inputs = tokenizer(text, return_tensors="pt"{more})
"""
CLS = "features = model(**inputs).last_hidden_state[:, 0]"
MEAN = "features = model(**inputs).last_hidden_state.mean(1)"
POOLER = "features = model(**inputs).pooler_output"
IMAGE = HIDDEN.format(loader="AutoImageProcessor", item="image", more="")
SOUND = HIDDEN.format(loader="AutoFeatureExtractor", item="sound", more=", sampling_rate=16000")
CLIP = HIDDEN.format(loader="AutoVideoProcessor", item="clip", more="")
PLAIN = TOKENS.format(more="")
LAST = """
inputs = tokenizer([instruction + text], padding=True, truncation=True, max_length=40, return_tensors="pt")
states = model(**inputs).last_hidden_state
if inputs["attention_mask"][:, -1].sum() == len(states):
    features = states[:, -1]
else:
    ends = inputs["attention_mask"].sum(dim=1) - 1
    features = states[torch.arange(len(states)), ends]
features = torch.nn.functional.normalize(features, p=2, dim=1)
"""


def tower(kind: str) -> str:
    """Code of a two-tower model's embedding."""
    return f"features = model.get_{kind}_features(**inputs)\nfeatures = getattr(features, 'pooler_output', features)"


def frames(code: str) -> str:
    """Code for each frame of a clip as an image."""
    return (
        "rows = []\nfor image in map(Image.fromarray, clip):\n"
        + indent(dedent(code).strip(), "    ")
        + ("\n    rows.append(features[0])\nfeatures = torch.stack(rows).mean(0)")
    )


def without(front: int) -> str:
    """Code of the mean over patches."""
    return f"features = model(**inputs).last_hidden_state[:, {front}:].mean(1)"


def siglip(vision: dict[str, Any], kind: Any = None) -> Any:
    """Configuration of SigLIP, or of SigLIP 2."""
    return (kind or tf.SiglipConfig)(text_config={**TEXT, "max_position_embeddings": 16}, vision_config=vision)


VIT = tf.ViTImageProcessor(size=SMALL)
CLIP_CONFIG = tf.CLIPConfig(text_config=TEXT, vision_config=PATCHES, projection_dim=24)
CLAP_CONFIG = tf.ClapConfig(text_config=TEXT, audio_config=CLAP_AUDIO, projection_dim=24)
NAFLEX = siglip({**LAYERS, "num_patches": 16, "patch_size": 16}, tf.Siglip2Config)
NAFLEX_PROCESSOR = tf.Siglip2ImageProcessor(patch_size=16, max_num_patches=16)
AST = tf.ASTConfig(max_length=128, num_mel_bins=32, patch_size=16, **LAYERS)
VJEPA = {"patch_size": 16, "crop_size": 32, "frames_per_clip": 4, "hidden_size": 36, "num_hidden_layers": 2}
VJEPA |= {"num_attention_heads": 2, "mlp_ratio": 2.0, "pred_hidden_size": 24, "pred_num_attention_heads": 2}
VJEPA |= {"pred_num_hidden_layers": 1, "pred_num_mask_tokens": 2, "num_pooler_layers": 1}
VJEPA_PROCESSOR = tf.VJEPA2VideoProcessor(crop_size=SMALL, size={"shortest_edge": 36})
VIDEOMAE_PROCESSOR = tf.VideoMAEImageProcessor(size={"shortest_edge": 36}, crop_size=SMALL)
VIVIT_PROCESSOR = tf.VivitImageProcessor(size={"shortest_edge": 36}, crop_size=SMALL)
W2VBERT = {**LAYERS, "feature_projection_input_dim": 160, "conv_depthwise_kernel_size": 5, "vocab_size": 30}


def waves(masked: bool) -> Any:
    """Return a feature extractor of waveforms."""
    return tf.Wav2Vec2FeatureExtractor(return_attention_mask=masked, do_normalize=True)


def cases() -> list[Case]:
    """Return every model."""
    causal = {"settings": {"normalize": True, "prompt": [INSTRUCTION + "{}"]}, "pooling": "last"}
    loads = "model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)"
    texts = [
        Case("text", "BERT", saved(tf.BertConfig(**TEXT), tokenizer()), PLAIN + CLS, "cls"),
        Case("text", "BERT", saved(tf.BertConfig(**TEXT), tokenizer()), PLAIN + MEAN, "mean"),
        Case("text", "BERT", saved(tf.BertConfig(**TEXT), tokenizer()), PLAIN + POOLER, "pooled"),
        Case("text", "ModernBERT", saved(modern(), tokenizer()), PLAIN + CLS, "cls"),
        Case("text", "ModernBERT", saved(modern(), tokenizer()), PLAIN + MEAN, "mean"),
        Case(
            "text",
            "sentence-transformers folder",
            sentence_folder,
            "features = torch.from_numpy(SentenceTransformer(folder, device='cpu').encode([text]))",
            model="sentence-transformers/{folder}",
        ),
        Case(
            "text",
            "Qwen3 (Qwen3-Embedding)",
            saved(tf.Qwen3Config(**CAUSAL), tokenizer(None, "</s>", "left")),
            loads + LAST,
            **causal,
        ),
        Case(
            "text",
            "Qwen3 in a sentence-transformers folder",
            qwen_folder,
            "model = SentenceTransformer(folder, device='cpu')\n"
            "features = torch.from_numpy(model.encode([text], prompt=instruction))",
            model="sentence-transformers/{folder}",
            settings={"prompt": [INSTRUCTION + "{}"]},
        ),
        Case(
            "text",
            "Mistral (E5-Mistral)",
            saved(tf.MistralConfig(**CAUSAL), tokenizer("<s>", "</s>")),
            loads + LAST,
            **causal,
        ),
        Case(
            "text",
            "Mistral (E5-Mistral), padded left",
            saved(tf.MistralConfig(**CAUSAL), tokenizer("<s>", "</s>", "left")),
            loads + LAST,
            **causal,
        ),
        Case("text", "CLIP", saved(CLIP_CONFIG, tokenizer(), VIT), PLAIN + tower("text"), "pooled"),
        Case(
            "text", "SigLIP, SigLIP 2 fixed", saved(siglip(PATCHES), tokenizer(None, "</s>"), VIT), padded(), "pooled"
        ),
        Case("text", "SigLIP 2 NaFlex", saved(NAFLEX, tokenizer(None, "</s>"), NAFLEX_PROCESSOR), padded(), "pooled"),
        Case("text", "CLAP", saved(CLAP_CONFIG, tokenizer()), PLAIN + tower("text"), "pooled"),
        Case(
            "text",
            "open_clip",
            clip_folder,
            "model = open_clip.create_model(f'local-dir:{folder}').eval()\n"
            "tokenizer = open_clip.get_tokenizer(f'local-dir:{folder}')\n"
            "features = model.encode_text(tokenizer([text]))",
            "pooled",
            "open_clip/{folder}",
        ),
    ]
    dino = {
        "register": tf.Dinov2WithRegistersConfig(num_register_tokens=4, **PATCHES),
        "3": tf.DINOv3ViTConfig(num_register_tokens=4, **PATCHES),
    }
    convnext = tf.DINOv3ConvNextConfig(hidden_sizes=[8, 16, 16, 32], depths=[1] * 4)
    timm_config = {"architecture": "test_vit", "pretrained_cfg": timm.get_pretrained_cfg("test_vit").to_dict()}
    wrapper = tf.TimmWrapperConfig.from_dict({**timm_config, "num_classes": 0})
    images = [
        *(
            Case("image", "ViT", saved(tf.ViTConfig(**PATCHES), VIT), IMAGE + code, pooling)
            for pooling, code in (("cls", CLS), ("mean", without(1)), ("pooled", POOLER))
        ),
        *(
            Case("image", "DINOv2", saved(tf.Dinov2Config(**PATCHES), VIT), IMAGE + code, pooling)
            for pooling, code in (("cls", CLS), ("mean", without(1)), ("pooled", POOLER))
        ),
        *(
            Case("image", "DINOv2 with registers", saved(dino["register"], VIT), IMAGE + code, pooling)
            for pooling, code in (("mean", without(5)), ("pooled", POOLER))
        ),
        *(
            Case("image", "DINOv3 ViT", saved(dino["3"], VIT), IMAGE + code, pooling)
            for pooling, code in (("cls", CLS), ("mean", without(5)), ("pooled", POOLER))
        ),
        Case("image", "DINOv3 ConvNeXt", saved(convnext, VIT), IMAGE + POOLER, "pooled"),
        Case("image", "CLIP", saved(CLIP_CONFIG, VIT), IMAGE + tower("image"), "pooled"),
        Case("image", "SigLIP, SigLIP 2 fixed", saved(siglip(PATCHES), VIT), IMAGE + tower("image"), "pooled"),
        Case(
            "image",
            "SigLIP, SigLIP 2 fixed",
            saved(siglip(PATCHES), VIT),
            IMAGE + "features = model.vision_model(**inputs).pooler_output",
            "attention",
        ),
        Case(
            "image",
            "SigLIP, SigLIP 2 fixed",
            saved(siglip(PATCHES), VIT),
            IMAGE + "features = model.vision_model(**inputs).last_hidden_state.mean(1)",
            "mean",
        ),
        Case("image", "SigLIP 2 NaFlex", saved(NAFLEX, NAFLEX_PROCESSOR), IMAGE + tower("image"), "pooled"),
        Case("image", "SigLIP 2 NaFlex", saved(NAFLEX, NAFLEX_PROCESSOR), IMAGE + NAFLEX_MEAN, "mean"),
        Case("image", "timm through transformers", saved(wrapper, model=tf.TimmWrapperModel), IMAGE + POOLER, "pooled"),
        Case(
            "image",
            "timm",
            state(lambda: timm.create_model("test_vit", num_classes=0)),
            TIMM,
            "pooled",
            "timm/test_vit",
            "{folder}/weights.pt",
        ),
        Case("image", "open_clip", clip_folder, OPEN_CLIP, "pooled", "open_clip/{folder}"),
        *(
            Case(
                "image",
                f"torchvision ResNet-{depth}",
                state(functools.partial(torchvision, f"resnet{depth}")),
                RESNET.format(depth=depth, folder="{folder}"),
                "pooled",
                f"torchvision/resnet{depth}",
                "{folder}/weights.pt",
            )
            for depth in (18, 101)
        ),
    ]
    pipelines = {"wav2vec2_base": "WAV2VEC2_BASE", "hubert_base": "HUBERT_BASE", "wavlm_base": "WAVLM_BASE"}
    group = {"feat_extract_norm": "group", "do_stable_layer_norm": False}
    layer = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
    sounds = [
        *(
            Case(
                "audio",
                f"torchaudio {name}",
                state(functools.partial(torchaudio_model, factory)),
                TORCHAUDIO.format(factory=factory, folder="{folder}"),
                "mean",
                f"torchaudio/{name}",
                "{folder}/weights.pt",
            )
            for factory, name in pipelines.items()
        ),
        Case("audio", "wav2vec 2.0", saved(tf.Wav2Vec2Config(**WAVES, **group), waves(False)), SOUND + MEAN, "mean"),
        Case("audio", "HuBERT", saved(tf.HubertConfig(**WAVES, **layer), waves(True)), SOUND + MEAN, "mean"),
        Case("audio", "WavLM", saved(tf.WavLMConfig(**WAVES, **layer), waves(True)), SOUND + MEAN, "mean"),
        Case(
            "audio",
            "w2v-BERT 2.0",
            saved(tf.Wav2Vec2BertConfig(**W2VBERT), tf.SeamlessM4TFeatureExtractor(feature_size=80, num_mel_bins=80)),
            SOUND + BERT_MEAN,
            "mean",
        ),
        Case(
            "audio",
            "AST",
            saved(AST, tf.ASTFeatureExtractor(max_length=128, num_mel_bins=32)),
            SOUND + POOLER,
            "pooled",
        ),
        Case(
            "audio",
            "AST",
            saved(AST, tf.ASTFeatureExtractor(max_length=128, num_mel_bins=32)),
            SOUND + AST_MEAN,
            "mean",
        ),
        Case("audio", "CLAP", saved(CLAP_CONFIG, tokenizer(), clap_extractor()), SOUND + tower("audio"), "pooled"),
        Case(
            "audio",
            "Whisper (encoder)",
            saved(
                tf.WhisperConfig(**WHISPER, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1),
                tf.WhisperFeatureExtractor(feature_size=20, chunk_length=1),
            ),
            WHISPER_MEAN,
            "mean",
        ),
    ]
    videomae = tf.VideoMAEConfig(num_frames=4, tubelet_size=2, **PATCHES)
    vivit = tf.VivitConfig(image_size=32, num_frames=4, tubelet_size=[2, 16, 16], **LAYERS)
    vjepa = saved(tf.VJEPA2Config(**VJEPA), VJEPA_PROCESSOR)
    attentive = saved(
        tf.VJEPA2Config(**VJEPA, architectures=["VJEPA2ForVideoClassification"]),
        VJEPA_PROCESSOR,
        model=tf.VJEPA2ForVideoClassification,
    )
    listed = HIDDEN.format(loader="AutoImageProcessor", item="list(clip)", more="")
    videos = [
        Case("video", "VideoMAE", saved(videomae, VIDEOMAE_PROCESSOR), listed + MEAN, "mean"),
        Case("video", "V-JEPA 2", vjepa, CLIP + MEAN, "mean"),
        Case("video", "V-JEPA 2", attentive, VJEPA_POOLED, "attention"),
        Case("video", "ViViT", saved(vivit, VIVIT_PROCESSOR), listed + CLS, "cls"),
        Case(
            "video",
            "torchvision R(2+1)D-18",
            state(lambda: torchvision("r2plus1d_18")),
            R2PLUS1D,
            "pooled",
            "torchvision/r2plus1d_18",
            "{folder}/weights.pt",
        ),
        Case("video", "CLIP on frames", saved(CLIP_CONFIG, VIT), frames(IMAGE + tower("image")), "pooled"),
        Case("video", "DINOv2 on frames", saved(tf.Dinov2Config(**PATCHES), VIT), frames(IMAGE + POOLER), "pooled"),
        Case(
            "video",
            "timm on frames",
            state(lambda: timm.create_model("test_vit", num_classes=0)),
            frames(TIMM),
            "pooled",
            "timm/test_vit",
            "{folder}/weights.pt",
        ),
    ]
    return [*texts, *images, *sounds, *videos]


def modern() -> Any:
    """Configuration of ModernBERT."""
    return tf.ModernBertConfig(**TEXT, local_attention=8, cls_token_id=2, sep_token_id=3)


def clap_extractor() -> Any:
    """Return CLAP's feature extractor, small."""
    sizes = {"feature_size": 32, "max_length_s": 2, "nb_max_samples": 32000, "hop_length": 500}
    return tf.ClapFeatureExtractor(**sizes, sampling_rate=RATE, truncation="rand_trunc")


def torchvision(name: str) -> torch.nn.Module:
    """Return an untrained model whose features stay small."""
    import torchvision as tv

    return tv.models.get_model(name, weights=None)


def torchaudio_model(factory: str) -> torch.nn.Module:
    """Return an untrained model as torchaudio builds it for its pipelines."""
    made: torch.nn.Module = getattr(import_torchaudio().models, factory)()
    return made


def padded() -> str:
    """Code of SigLIP's texts: padded to their full length."""
    return TOKENS.format(more=', padding="max_length", max_length=16, truncation=True') + (
        "features = model.get_text_features(input_ids=inputs['input_ids'])\n"
        "features = getattr(features, 'pooler_output', features)"
    )


NAFLEX_MEAN = """
states = model.vision_model(**inputs).last_hidden_state
mask = inputs["pixel_attention_mask"].unsqueeze(-1)
features = (states * mask).sum(1) / mask.sum(1)
"""
TIMM = """
model = timm.create_model("test_vit", num_classes=0)
model.load_state_dict(torch.load(f"{folder}/weights.pt"))
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
features = model.eval()(transform(image).unsqueeze(0))
"""
OPEN_CLIP = """
model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
features = model.eval().encode_image(preprocess(image).unsqueeze(0))
"""
RESNET = """
model = torchvision.models.resnet{depth}()
model.load_state_dict(torch.load(f"{folder}/weights.pt"))
model.fc = torch.nn.Identity()
transform = torchvision.models.ResNet{depth}_Weights.DEFAULT.transforms()
features = model.eval()(transform(image).unsqueeze(0))
"""
TORCHAUDIO = """
model = torchaudio.models.{factory}()
model.load_state_dict(torch.load(f"{folder}/weights.pt"))
states, _ = model.eval().extract_features(torch.from_numpy(sound).unsqueeze(0))
features = states[-1].mean(1)
"""
R2PLUS1D = """
model = torchvision.models.video.r2plus1d_18()
model.load_state_dict(torch.load(f"{folder}/weights.pt"))
model.fc = torch.nn.Identity()
transform = torchvision.models.video.R2Plus1D_18_Weights.DEFAULT.transforms()
features = model.eval()(transform(torch.from_numpy(clip).permute(0, 3, 1, 2)).unsqueeze(0))
"""
BERT_MEAN = """
states, mask = model(**inputs).last_hidden_state, inputs["attention_mask"].unsqueeze(-1)
features = (states * mask).sum(1) / mask.sum(1)
"""
AST_MEAN = """
states = model(**inputs).last_hidden_state[0, 2:].reshape(2, 12, -1)  # bands, steps; behind CLS and distillation
n_frames = 1 + (len(sound) - 400) // 160
features = states[:, torch.arange(12) * 10 < n_frames].mean((0, 1))
"""
WHISPER_MEAN = """
model, processor = AutoModel.from_pretrained(folder), AutoFeatureExtractor.from_pretrained(folder)
inputs = processor(sound, return_tensors="pt", sampling_rate=16000, return_attention_mask=True)
states = model.get_encoder()(inputs["input_features"]).last_hidden_state[0]
features = states[inputs["attention_mask"][0, ::2].bool()].mean(0)
"""
VJEPA_POOLED = """
model = VJEPA2ForVideoClassification.from_pretrained(folder)
processor = AutoVideoProcessor.from_pretrained(folder)
inputs = processor(clip, return_tensors="pt")
features = model.pooler(model.vjepa2(**inputs, skip_predictor=True).last_hidden_state)
"""
