"""Sound features are what the model's documentation computes, each sound alone and at its own length."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch
import transformers as tf

from skmmal.features import FeatureStore
from skmmal.featurize import audio as script
from skmmal.featurize.backbones import build_backbone
from skmmal.featurize.backbones._common import seeded

from .small import LAYERS, TEXT, accepted, encode, save, tensor_of

RATE = 16000
SECONDS = (0.5, 0.3, 1.0, 0.5, 0.723, 0.9)
CONV = {"conv_dim": (16,) * 3, "conv_stride": (5, 4, 4), "conv_kernel": (10, 8, 4), "num_feat_extract_layers": 3}
WAVES = {**CONV, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, "vocab_size": 30, **LAYERS}
GROUP = {"feat_extract_norm": "group", "do_stable_layer_norm": False}
LAYER = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
WHISPER = {"vocab_size": 60, "d_model": 32, "num_mel_bins": 20, "max_source_positions": 50, "pad_token_id": 0}
WHISPER |= {"bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
for _side in ("encoder", "decoder"):
    WHISPER |= {f"{_side}_layers": 2, f"{_side}_attention_heads": 2, f"{_side}_ffn_dim": 48}
MELS = {"feature_size": 20, "chunk_length": 1, "n_fft": 400, "hop_length": 160}


def waves(masked):
    return tf.Wav2Vec2FeatureExtractor(return_attention_mask=masked, do_normalize=True)


WAVEFORMS = {
    "wav2vec2-base": (lambda: tf.Wav2Vec2Config(**WAVES, **GROUP), lambda: waves(False)),
    "wav2vec2-large": (lambda: tf.Wav2Vec2Config(**WAVES, **LAYER), lambda: waves(True)),
    "wav2vec2-adapter": (
        lambda: tf.Wav2Vec2Config(**WAVES, **LAYER, add_adapter=True, num_adapter_layers=1),
        lambda: waves(True),
    ),
    "hubert-base": (lambda: tf.HubertConfig(**WAVES, **GROUP), lambda: waves(False)),
    "hubert-large": (lambda: tf.HubertConfig(**WAVES, **LAYER), lambda: waves(True)),
    "wavlm": (lambda: tf.WavLMConfig(**WAVES, **GROUP), lambda: waves(True)),
    "unispeech": (lambda: tf.UniSpeechSatConfig(**WAVES, **LAYER), lambda: waves(True)),
    "data2vec": (
        lambda: tf.Data2VecAudioConfig(**{**WAVES, "num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 5}),
        lambda: waves(True),
    ),
    "sew": (lambda: tf.SEWConfig(**WAVES, feat_extract_norm="group", squeeze_factor=2), lambda: waves(False)),
}


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    for number, seconds in enumerate(SECONDS):
        samples = 0.1 * rng.standard_normal(round(RATE * seconds)).astype(np.float32)
        soundfile.write(folder / f"{number}.wav", samples, RATE, subtype="FLOAT")
    return folder


def read(sounds):
    return [soundfile.read(path, dtype="float32")[0] for path in sorted(sounds.glob("*.wav"))]


def names(sounds):
    return sorted(path.name for path in sounds.glob("*.wav"))


def check(backbone, sounds, expected):
    for order in (slice(None), slice(None, None, -1)):
        for batch_size in (1, 4):
            found, failures = encode(backbone, names(sounds)[order], batch_size)
            assert not failures
            np.testing.assert_allclose(found[order], expected, atol=1e-5)


@pytest.mark.parametrize("name", WAVEFORMS)
def test_each_sound_is_what_it_is_alone(name, sounds, tmp_path):
    config, make_extractor = WAVEFORMS[name]
    module, extractor = save(tmp_path, config(), make_extractor(), spread=1.5), make_extractor()
    expected = []
    for samples in read(sounds):
        inputs = extractor(samples, sampling_rate=RATE, return_tensors="pt")
        with torch.inference_mode():
            expected.append(module(**inputs).last_hidden_state[0].mean(0))
    backbone = build_backbone("audio", f"transformers/{tmp_path}", "DEFAULT", sounds)
    check(backbone, sounds, torch.stack(expected).numpy())
    # what is too short says so, and costs no other item
    soundfile.write(tmp_path / "tick.wav", np.full(20, 0.1), RATE)
    _, failures = encode(build_backbone("audio", f"transformers/{tmp_path}", "DEFAULT", tmp_path), ["tick.wav"])
    assert "too short: 1.25 ms of sound" in failures[0]
    with pytest.raises(ValueError, match="no pooled output of its own; take --pooling mean"):
        build_backbone("audio", f"transformers/{tmp_path}", "DEFAULT", sounds, pooling="pooled")


@pytest.mark.parametrize("name", ["WAV2VEC2_BASE", "WAV2VEC2_LARGE_LV60K", "WAVLM_BASE"])
def test_torchaudio_models_run_at_the_sounds_own_length(name, sounds, monkeypatch):
    from skmmal.featurize._compat import import_torchaudio

    torchaudio = import_torchaudio()
    bundle = getattr(torchaudio.pipelines, name)
    small = {"encoder_embed_dim": 32, "encoder_num_layers": 2, "encoder_num_heads": 2, "encoder_ff_interm_features": 48}
    small["extractor_conv_layer_config"] = [(16, 10, 5), (16, 8, 4), (16, 4, 4)]
    monkeypatch.setitem(bundle.__dict__, "_params", {**bundle._params, **small})
    factory = torchaudio.models.wavlm_model if name == "WAVLM_BASE" else torchaudio.models.wav2vec2_model
    module = seeded(lambda: factory(**bundle._params), 0).eval()
    expected = []
    for samples in read(sounds):
        waveform = torch.from_numpy(samples)[None]
        if getattr(bundle, "_normalize_waveform", False):
            waveform = torch.nn.functional.layer_norm(waveform, waveform.shape)
        with torch.inference_mode():
            expected.append(module.extract_features(waveform)[0][-1][0].mean(0))
    backbone = build_backbone("audio", f"torchaudio/{name}", "random", sounds)
    check(backbone, sounds, torch.stack(expected).numpy())
    assert backbone.reader.fewest == 105  # ((4 - 1) * 4 + 8 - 1) * 5 + 10, by the convolutions


@pytest.mark.parametrize(("patch", "strides"), [(16, (10, 10)), (8, (8, 6))])
def test_a_spectrogram_transformer_counts_patches_that_see_sound(patch, strides, sounds, tmp_path):
    extractor = tf.ASTFeatureExtractor(max_length=128, num_mel_bins=32)
    config = {"max_length": 128, "num_mel_bins": 32, "patch_size": patch}
    config |= {"frequency_stride": strides[0], "time_stride": strides[1]}
    module = save(tmp_path, tf.ASTConfig(**config, **LAYERS), extractor, spread=3.0)
    expected, pooled = [], []
    for samples in read(sounds):
        with torch.inference_mode():
            output = module(**extractor(samples, sampling_rate=RATE, return_tensors="pt"))
        across, along = ((size - patch) // step + 1 for size, step in zip((32, 128), strides, strict=True))
        states = output.last_hidden_state[0, 2:].reshape(across, along, -1)  # behind CLS and distillation
        n_frames = 1 + (len(samples) - 400) // 160
        seeing = torch.arange(along) * strides[1] < n_frames
        assert seeing.sum() < along or len(samples) >= RATE
        expected.append(states[:, seeing].mean((0, 1)))
        pooled.append(output.pooler_output[0])
    model = f"transformers/{tmp_path}"
    check(build_backbone("audio", model, "DEFAULT", sounds), sounds, torch.stack(expected).numpy())
    check(build_backbone("audio", model, "DEFAULT", sounds, pooling="pooled"), sounds, torch.stack(pooled).numpy())
    # a window shorter than the extractor's fixed length changes nothing of this
    check(build_backbone("audio", model, "DEFAULT", sounds, window=1.0), sounds, torch.stack(expected).numpy())


def test_silence_at_the_end_of_a_sound_is_no_padding(sounds, tmp_path):
    extractor = tf.ASTFeatureExtractor(max_length=128, num_mel_bins=32)
    save(tmp_path, tf.ASTConfig(max_length=128, num_mel_bins=32, **LAYERS), extractor)
    backbone = build_backbone("audio", f"transformers/{tmp_path}", "DEFAULT", sounds)
    samples = read(sounds)[0].copy()
    samples[4000:] = 0
    assert int(backbone.reader.unit(samples).inputs["frames"]) == 1 + (len(samples) - 400) // 160


def test_whisper_counts_the_frames_of_the_sound(sounds, tmp_path):
    extractor = tf.WhisperFeatureExtractor(**MELS)
    module = save(tmp_path, tf.WhisperConfig(**WHISPER), extractor, spread=3.0)
    expected = []
    for samples in read(sounds):
        inputs = extractor(samples, sampling_rate=RATE, return_tensors="pt", return_attention_mask=True)
        with torch.inference_mode():
            states = module.get_encoder()(inputs["input_features"]).last_hidden_state[0]
        expected.append(states[inputs["attention_mask"][0, ::2].bool()].mean(0))
    backbone = build_backbone("audio", f"transformers/{tmp_path}", "DEFAULT", sounds)
    assert backbone.reader.window == 1.0  # the extractor's
    check(backbone, sounds, torch.stack(expected).numpy())
    tokens = build_backbone("audio", f"transformers/{tmp_path}", "DEFAULT", sounds, tokens=True)
    assert tokens.width == (50, 32)


@pytest.mark.parametrize("adapter", [False, True])
def test_wav2vec2_bert(adapter, sounds, tmp_path):
    config = {**LAYERS, "feature_projection_input_dim": 160, "conv_depthwise_kernel_size": 5, "vocab_size": 30}
    config |= {"add_adapter": adapter, "num_adapter_layers": 1, "output_hidden_size": 32}
    extractor = tf.SeamlessM4TFeatureExtractor(feature_size=80, num_mel_bins=80)
    module = save(tmp_path, tf.Wav2Vec2BertConfig(**config), extractor, spread=2.0)
    expected = []
    for samples in read(sounds):
        inputs = extractor(samples, sampling_rate=RATE, return_tensors="pt")
        with torch.inference_mode():
            states = module(**inputs).last_hidden_state[0]
        kept = inputs["attention_mask"][0].bool()
        if adapter:
            kept = module._get_feature_vector_attention_mask(len(states), inputs["attention_mask"])[0].bool()
        expected.append(states[kept].mean(0))
    check(build_backbone("audio", f"transformers/{tmp_path}", "DEFAULT", sounds), sounds, torch.stack(expected).numpy())


def test_moonshine(sounds, tmp_path):
    if not hasattr(tf, "MoonshineConfig"):
        pytest.xfail("newer than this transformers")
    config = {"vocab_size": 60, "hidden_size": 32, "intermediate_size": 48, "bos_token_id": 1, "eos_token_id": 2}
    for side in ("encoder", "decoder"):
        config |= {f"{side}_num_hidden_layers": 2, f"{side}_num_attention_heads": 2, f"{side}_num_key_value_heads": 2}
    extractor = tf.Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True)
    module = save(tmp_path, tf.MoonshineConfig(**config), extractor, spread=2.0)
    expected = []
    for samples in read(sounds):
        inputs = extractor(samples, sampling_rate=RATE, return_tensors="pt")
        side = module.get_encoder()
        with torch.inference_mode():
            expected.append(side(**accepted(side.forward, inputs)).last_hidden_state[0].mean(0))
    check(build_backbone("audio", f"transformers/{tmp_path}", "DEFAULT", sounds), sounds, torch.stack(expected).numpy())


@pytest.mark.parametrize("truncation", ["rand_trunc", "fusion"])
def test_clap_is_the_same_each_time(truncation, sounds, tmp_path):
    audio = {"hidden_size": 16, "patch_embeds_hidden_size": 8, "depths": [1, 1], "num_attention_heads": [2, 2]}
    audio |= {"num_mel_bins": 32, "spec_size": 64, "window_size": 4, "enable_fusion": truncation == "fusion"}
    config = tf.ClapConfig(text_config=TEXT, audio_config=audio, projection_dim=24)
    extractor = tf.ClapFeatureExtractor(
        feature_size=32, max_length_s=2, nb_max_samples=32000, hop_length=500, sampling_rate=RATE, truncation=truncation
    )
    module = save(tmp_path, config, extractor)
    expected = []
    for samples in read(sounds):
        inputs = extractor(samples, sampling_rate=RATE, return_tensors="pt")
        with torch.inference_mode():
            expected.append(tensor_of(module.get_audio_features(**inputs))[0])
    backbone = build_backbone("audio", f"transformers/{tmp_path}", "DEFAULT", sounds, pooling="pooled")
    check(backbone, sounds, torch.stack(expected).numpy())
    # longer than the extractor takes: cut into windows, and not at a random place
    long = np.random.default_rng(1).standard_normal(RATE * 5).astype(np.float32)
    soundfile.write(tmp_path / "long.wav", long, RATE, subtype="FLOAT")
    backbone = build_backbone("audio", f"transformers/{tmp_path}", "DEFAULT", tmp_path, pooling="pooled")
    np.testing.assert_array_equal(encode(backbone, ["long.wav"])[0], encode(backbone, ["long.wav"])[0])


def test_refused_before_the_job_begins(sounds, tmp_path, capsys):
    (tmp_path / "m.csv").write_text("\n".join(["id,audio", *(f"{name},{sounds / name}" for name in names(sounds))]))
    arguments = [str(tmp_path / "m.csv"), "--out", str(tmp_path / "c"), "--quiet", "--workers", "0"]
    save(tmp_path / "bert", tf.BertConfig(**TEXT), waves(True))
    assert script.main([*arguments, "--model", f"transformers/{tmp_path / 'bert'}"]) == 2
    assert "BertModel cannot be used for sound here" in capsys.readouterr().err
    save(tmp_path / "encodec", tf.EncodecConfig(num_filters=4, hidden_size=8, codebook_dim=8), tf.EncodecFeatureExtractor())
    assert script.main([*arguments, "--model", f"transformers/{tmp_path / 'encodec'}"]) == 2
    assert "EncodecModel cannot be used for sound here" in capsys.readouterr().err
    save(tmp_path / "bare", tf.HubertConfig(**WAVES))
    assert script.main([*arguments, "--model", f"transformers/{tmp_path / 'bare'}"]) == 2
    assert "has no feature extractor" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_short_sounds_in_a_job(sounds, tmp_path):
    """From end to end: lengths that differ, one sound that is too short, values beside the reference."""
    module = save(tmp_path / "model", WAVEFORMS["wav2vec2-base"][0](), waves(False), spread=1.5)
    soundfile.write(tmp_path / "tick.wav", np.full(20, 0.1), RATE)
    rows = [*(f"{name},{sounds / name}" for name in names(sounds)), f"tick,{tmp_path / 'tick.wav'}"]
    (tmp_path / "m.csv").write_text("\n".join(["id,audio", *rows]))
    arguments = [str(tmp_path / "m.csv"), "--out", str(tmp_path / "c"), "--quiet", "--workers", "0", "--dtype", "float32"]
    script.main([*arguments, "--model", f"transformers/{tmp_path / 'model'}"])
    store = FeatureStore.open(tmp_path / "c")
    assert store.present("audio").tolist() == [True] * len(SECONDS) + [False]
    error, = (json.loads(line) for line in (tmp_path / "c" / "errors.jsonl").read_text().splitlines())
    assert "too short" in error["message"]
    for row, samples in enumerate(read(sounds)):
        inputs = waves(False)(samples, sampling_rate=RATE, return_tensors="pt")
        with torch.inference_mode():
            expected = module(**inputs).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(store.load()["audio"][row], expected.numpy(), atol=1e-5)
