"""Text features are what the model's documentation computes, each text alone, whatever shares its batch."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers as tf

from skmmal.features import FeatureStore
from skmmal.featurize import text as script
from skmmal.featurize.backbones import build_backbone

from .conftest import WORDS
from .small import BOTH, LAYERS, PATCHES, TEXT, accepted, encode, save, tensor_of, tokenizer

RNG = np.random.default_rng(0)
TEXTS = [" ".join(RNG.choice(WORDS, size)) for size in (1, 3, 5, 9, 14, 30, 80)]
P40 = {"max_position_embeddings": 40}
T5 = {"vocab_size": TEXT["vocab_size"], "d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2}
GPT2 = {"vocab_size": TEXT["vocab_size"], "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 40}
BART = {"vocab_size": TEXT["vocab_size"], "d_model": 32, "pad_token_id": 0, "eos_token_id": 3, **P40}
BART |= {f"{side}_{name}": size for side in ("encoder", "decoder") for name, size in (("layers", 1), ("ffn_dim", 48))}
BART |= {f"{side}_attention_heads": 2 for side in ("encoder", "decoder")}
GROUPED = {"num_key_value_heads": 1, "head_dim": 16}

MODELS = {
    "bert": (lambda: tf.BertConfig(**TEXT, **P40), tokenizer(*BOTH), 40),
    # positions count from the padding's index plus one, and neither tokenizer nor configuration says so
    "roberta": (lambda: tf.RobertaConfig(**{**TEXT, "pad_token_id": 0}, **P40), tokenizer(*BOTH), 39),
    "mpnet": (lambda: tf.MPNetConfig(**TEXT, **P40), tokenizer(*BOTH), 38),
    "distilbert": (
        lambda: tf.DistilBertConfig(vocab_size=TEXT["vocab_size"], dim=32, n_layers=2, n_heads=2, hidden_dim=48, **P40),
        tokenizer(*BOTH),
        40,
    ),
    "fnet": (lambda: tf.FNetConfig(**TEXT, **P40), tokenizer(*BOTH), 40),  # takes no mask
    "deberta": (
        lambda: tf.DebertaV2Config(**TEXT, **P40, relative_attention=True, pos_att_type=["c2p", "p2c"]),
        tokenizer(*BOTH, limit=20),
        20,
    ),
    "t5": (lambda: tf.T5Config(**T5, decoder_start_token_id=0), tokenizer(None, "</s>"), 512),
    "bart": (lambda: tf.BartConfig(**BART), tokenizer(*BOTH), 40),
    "xlnet": (
        lambda: tf.XLNetConfig(vocab_size=TEXT["vocab_size"], d_model=32, n_layer=2, n_head=2, d_inner=48),
        tokenizer(None, "</s>", "left"),
        512,
    ),
    "gpt2": (lambda: tf.GPT2Config(**GPT2), tokenizer(pad=None), 40),
    "gpt2-left": (lambda: tf.GPT2Config(**GPT2), tokenizer(pad=None, side="left"), 40),
    "llama": (lambda: tf.LlamaConfig(**TEXT, **P40), tokenizer("<s>", side="left"), 40),
    "gemma": (lambda: tf.GemmaConfig(**TEXT, **P40, **GROUPED), tokenizer("<s>"), 40),
    "bloom": (
        lambda: tf.BloomConfig(vocab_size=TEXT["vocab_size"], hidden_size=32, n_layer=2, n_head=2),
        tokenizer(side="left"),
        512,
    ),
    "clip": (
        lambda: tf.CLIPConfig(text_config={**TEXT, **P40}, vision_config=PATCHES, projection_dim=24),
        tokenizer(*BOTH),
        40,
    ),
    "clap": (
        lambda: tf.ClapConfig(
            text_config={**TEXT, **P40},
            audio_config={"patch_embeds_hidden_size": 8, "depths": [1, 1], "num_attention_heads": [2, 2]},
            projection_dim=24,
        ),
        tokenizer(*BOTH),
        39,
    ),
}
if hasattr(tf, "Qwen3Config"):  # newer than the oldest version that runs
    MODELS["qwen3"] = (lambda: tf.Qwen3Config(**TEXT, **P40, **GROUPED), tokenizer(None, "</s>", "left"), 40)
if hasattr(tf, "ModernBertConfig"):
    MODELS["modernbert"] = (
        lambda: tf.ModernBertConfig(**TEXT, **P40, local_attention=8, cls_token_id=2, sep_token_id=3),
        tokenizer(*BOTH),
        40,
    )
LEFT_TO_RIGHT = ("gpt2", "gpt2-left", "llama", "gemma", "bloom", "clip", "qwen3")
NO_FIRST_TOKEN = ("t5", "xlnet")
OWN_POOLED = ("bert", "roberta", "mpnet", "fnet", "clip", "clap")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("text models")
    for name, (config, words, _) in MODELS.items():
        save(root / name, config(), words, spread=3.0)
    return root


def by_hand(folder, pooling, limit):
    """Each text alone and without padding, through the library's own classes."""
    model, words = tf.AutoModel.from_pretrained(folder).eval(), tf.AutoTokenizer.from_pretrained(folder)
    side = getattr(model, "text_model", None)
    if side is None:
        side = model.get_encoder() if model.config.is_encoder_decoder else model
    found = []
    for text in TEXTS:
        encoded = words(text, return_tensors="pt", truncation=True, max_length=limit)
        with torch.inference_mode():
            if pooling == "pooled" and hasattr(model, "get_text_features"):
                found.append(tensor_of(model.get_text_features(**accepted(model.get_text_features, encoded)))[0])
                continue
            output = side(**accepted(side.forward, encoded))
        states = output.last_hidden_state[0]
        if pooling == "pooled":
            found.append(output.pooler_output[0])
        else:
            found.append({"cls": states[0], "last": states[-1], "mean": states.mean(0)}[pooling])
    return torch.stack(found).numpy()


@pytest.mark.parametrize("pooling", ["cls", "mean", "last", "pooled"])
@pytest.mark.parametrize("name", MODELS)
def test_each_text_is_what_it_is_alone(name, pooling, folders):
    model, limit = f"transformers/{folders / name}", MODELS[name][2]
    own = pooling == "pooled" and name in OWN_POOLED
    if not own and pooling in ("cls", "pooled") and name in (*LEFT_TO_RIGHT, *NO_FIRST_TOKEN):
        reason = "reads from left to right" if name in LEFT_TO_RIGHT else "puts none there"
        with pytest.raises(ValueError, match=rf"{reason}.*--pooling last"):
            build_backbone("text", model, "DEFAULT", pooling=pooling)
        return
    backbone = build_backbone("text", model, "DEFAULT", pooling=pooling)
    assert backbone.reader.max_length == limit
    assert backbone.reader.pads == (name != "fnet")
    found, failures = encode(backbone, TEXTS)
    assert not failures
    expected = by_hand(folders / name, pooling if own or pooling != "pooled" else "cls", limit)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 1e-3
    np.testing.assert_allclose(encode(backbone, TEXTS[::-1], 2)[0][::-1], expected, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_last_token_of_a_batch_padded_on_either_side(side, tmp_path):
    """Qwen3-Embedding's own snippet, which pools a batch that the tokenizer has padded."""
    save(tmp_path, tf.LlamaConfig(**TEXT, **P40), tokenizer(None, "</s>", side), spread=3.0)
    model, words = tf.AutoModel.from_pretrained(tmp_path).eval(), tf.AutoTokenizer.from_pretrained(tmp_path)
    batch = words(TEXTS, padding=True, truncation=True, max_length=40, return_tensors="pt")
    with torch.inference_mode():
        states = model(**accepted(model.forward, batch)).last_hidden_state
    ends = batch["attention_mask"].sum(1) - 1
    expected = states[:, -1] if side == "left" else states[torch.arange(len(TEXTS)), ends]
    backbone = build_backbone("text", f"transformers/{tmp_path}", "DEFAULT", pooling="last", normalize=True)
    expected = torch.nn.functional.normalize(expected, dim=-1).numpy()
    np.testing.assert_allclose(encode(backbone, TEXTS)[0], expected, atol=1e-5)


SIGLIPS = {
    "siglip": lambda: tf.SiglipConfig(text_config={**TEXT, "max_position_embeddings": 16}, vision_config=PATCHES),
}
if hasattr(tf, "Siglip2Config"):  # newer than the oldest version that runs, as is loading one side alone
    SIGLIPS["siglip_text"] = lambda: tf.SiglipTextConfig(**TEXT, max_position_embeddings=16, projection_size=32)
    SIGLIPS["siglip2"] = lambda: tf.Siglip2Config(
        text_config={**TEXT, "max_position_embeddings": 16}, vision_config={**LAYERS, "num_patches": 16}
    )


@pytest.mark.parametrize("pooling", ["pooled", "mean", "last"])
@pytest.mark.parametrize("name", SIGLIPS)
def test_siglip_is_padded_to_its_full_length_without_a_mask(name, pooling, tmp_path):
    kind = tf.SiglipTextModel if name == "siglip_text" else None
    model = save(tmp_path, SIGLIPS[name](), tokenizer(None, "</s>"), spread=3.0, model=kind)
    words = tf.AutoTokenizer.from_pretrained(tmp_path)
    batch = words(TEXTS, padding="max_length", truncation=True, max_length=16, return_tensors="pt")
    ids, mask = batch["input_ids"], batch["attention_mask"]
    with torch.inference_mode():
        output = getattr(model, "text_model", model)(input_ids=ids)
        states = output.last_hidden_state
        if pooling == "pooled" and name != "siglip_text":
            expected = tensor_of(model.get_text_features(input_ids=ids))
        elif pooling == "pooled":
            expected = output.pooler_output
        elif pooling == "mean":
            expected = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        else:
            expected = states[torch.arange(len(TEXTS)), mask.sum(1) - 1]
    backbone = build_backbone("text", f"transformers/{tmp_path}", "DEFAULT", pooling=pooling)
    for batch_size in (1, 4):
        np.testing.assert_allclose(encode(backbone, TEXTS, batch_size)[0], expected.numpy(), atol=1e-5)


def test_a_decoder_made_of_bert_is_found_out_by_what_it_does(tmp_path):
    save(tmp_path, tf.BertConfig(**TEXT, **P40, is_decoder=True), tokenizer(*BOTH))
    for pooling in ("cls", "pooled"):
        with pytest.raises(ValueError, match="--pooling last"):
            build_backbone("text", f"transformers/{tmp_path}", "DEFAULT", pooling=pooling)


def test_refused_before_the_job_begins(tmp_path, capsys):
    save(tmp_path / "gpt2", tf.GPT2Config(**GPT2), tokenizer(pad=None))
    (tmp_path / "m.csv").write_text("id,text\na,the quick fox\n")
    arguments = [str(tmp_path / "m.csv"), "--out", str(tmp_path / "c"), "--quiet", "--workers", "0"]
    assert script.main([*arguments, "--model", f"transformers/{tmp_path / 'gpt2'}"]) == 2
    assert "take --pooling last" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
    save(tmp_path / "vit", tf.ViTConfig(**PATCHES), tokenizer(*BOTH))
    assert script.main([*arguments, "--model", f"transformers/{tmp_path / 'vit'}"]) == 2
    assert "ViTModel cannot be used for text here" in capsys.readouterr().err
    tf.BertModel(tf.BertConfig(**TEXT, **P40)).save_pretrained(tmp_path / "bare")
    assert script.main([*arguments, "--model", f"transformers/{tmp_path / 'bare'}"]) == 2
    assert "has no tokenizer" in capsys.readouterr().err
    save(tmp_path / "bert", tf.BertConfig(**TEXT, **P40), tokenizer(*BOTH))
    assert script.main([*arguments, "--model", f"transformers/{tmp_path / 'bert'}", "--max-length", "41"]) == 2
    assert "max_length must lie in 1..40" in capsys.readouterr().err


def test_weights_that_are_not_there_are_not_made_up(tmp_path):
    config = tf.BertConfig(**TEXT, **P40)
    tf.BertForMaskedLM(config).save_pretrained(tmp_path / "mlm")  # has no pooling layer
    tokenizer(*BOTH).save_pretrained(tmp_path / "mlm")
    with pytest.raises(ValueError, match=r"hold no pooling layer .*take cls"):
        build_backbone("text", f"transformers/{tmp_path / 'mlm'}", "DEFAULT", pooling="pooled")
    hashes = {build_backbone("text", f"transformers/{tmp_path / 'mlm'}", "DEFAULT").description["weights_sha256"] for _ in "12"}
    assert len(hashes) == 1  # so that a job can be continued
    module = tf.BertModel(config)
    state = {name: value for name, value in module.state_dict().items() if "layer.1" not in name}
    module.save_pretrained(tmp_path / "half", state_dict=state)
    tokenizer(*BOTH).save_pretrained(tmp_path / "half")
    with pytest.raises(ValueError, match="the weights lack"):
        build_backbone("text", f"transformers/{tmp_path / 'half'}", "DEFAULT")


@pytest.mark.parametrize("name", ["bert", "llama", "fnet"])
def test_half_precision_pools_the_same_tokens(name, folders):
    from skmmal.featurize._encoding import Encoder
    from skmmal.featurize._reading import read_chunk

    backbone = build_backbone("text", f"transformers/{folders / name}", "DEFAULT", pooling="mean")
    encoder = Encoder(backbone, torch.device("cpu"), amp=True)
    for batch in read_chunk(backbone.reader, TEXTS, 4).batches:
        (_, half), = encoder.encode(batch.inputs)
        exact = encoder.forward(batch.inputs, exact=True)
        assert half.dtype == torch.float32
        assert ((half - exact).norm(dim=1) < 0.05 * exact.norm(dim=1)).all()


# ------------------------------------------------------------------------------------------ sentence-transformers


def sentence_folder(folder, *more, prompt=None, longest=12, lower=True):
    """Save a small sentence-transformers model; `more` makes modules of the transformer's width."""
    import sentence_transformers
    from sentence_transformers import SentenceTransformer, models

    save(folder / "plain", tf.BertConfig(**TEXT, **P40), tokenizer(*BOTH), spread=3.0)
    first = models.Transformer(str(folder / "plain"), max_seq_length=longest)
    if lower and int(sentence_transformers.__version__.partition(".")[0]) < 6:
        first.do_lower_case = True
    torch.manual_seed(0)
    made = SentenceTransformer(modules=[first, *(build(models) for build in more)], device="cpu")
    if prompt is not None:
        made.prompts, made.default_prompt_name = {"query": prompt}, "query"
    made.save(str(folder / "whole"))
    return folder / "whole"


def pool(mode):
    return lambda models: models.Pooling(32, pooling_mode=mode)


FOLDERS = {
    **{mode: ([pool(mode)], None) for mode in ("cls", "mean", "max", "mean_sqrt_len_tokens", "weightedmean")},
    "lasttoken": ([pool("lasttoken")], None),
    "concatenated": (
        [lambda models: models.Pooling(32, pooling_mode_mean_tokens=True, pooling_mode_max_tokens=True)],
        None,
    ),
    "normalized": ([pool("mean"), lambda models: models.Normalize()], None),
    "dense": ([pool("mean"), lambda models: models.Dense(32, 20)], None),
    "prompt": ([pool("mean"), lambda models: models.Normalize()], "seven wizards "),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_sentence_transformers_folder_is_obeyed(name, tmp_path):
    from sentence_transformers import SentenceTransformer

    more, prompt = FOLDERS[name]
    folder = sentence_folder(tmp_path, *more, prompt=prompt)
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    for library in ("transformers", "sentence-transformers"):
        backbone = build_backbone("text", f"{library}/{folder}", "DEFAULT")
        found, failures = encode(backbone, TEXTS, 3)
        assert not failures
        np.testing.assert_allclose(found, expected, atol=1e-5)
    words = 2 + len(prompt.split()) if prompt else 2
    notes: dict[str, int] = {}
    for text in TEXTS:
        backbone.reader.decode(text, notes)
    assert notes == {"truncated": sum(len(text.split()) + words > 12 for text in TEXTS)}


def test_a_sentence_transformers_job_from_end_to_end(tmp_path, capsys):
    from sentence_transformers import SentenceTransformer

    folder = sentence_folder(tmp_path, pool("mean"), FOLDERS["normalized"][0][1])
    lines = [f'{row},"{text}"' for row, text in enumerate(TEXTS)]
    (tmp_path / "m.csv").write_text("\n".join(["id,text", *lines]))
    arguments = [str(tmp_path / "m.csv"), "--model", f"transformers/{folder}", "--dtype", "float32", "--quiet"]
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    for pooling in ([], ["--pooling", "mean"], ["--pooling", "pooled"]):
        out = tmp_path / "-".join(["c", *pooling])
        assert script.main([*arguments, "--out", str(out), "--workers", "0", *pooling]) == 0
        np.testing.assert_allclose(FeatureStore.open(out).load()["text"], expected, atol=1e-5)
    assert script.main([*arguments, "--out", str(tmp_path / "no"), "--pooling", "cls"]) == 2
    assert "contradicts the folder's modules.json (mean)" in capsys.readouterr().err
    # another pooling in modules.json is another job, though the weights are the same
    config = folder / "1_Pooling" / "config.json"
    settings = json.loads(config.read_text())
    settings |= {"pooling_mode": "cls"} if "pooling_mode" in settings else {
        "pooling_mode_mean_tokens": False,
        "pooling_mode_cls_token": True,
    }
    config.write_text(json.dumps(settings))
    assert script.main([*arguments, "--out", str(tmp_path / "c"), "--workers", "0"]) == 2
    assert "modules" in capsys.readouterr().err
