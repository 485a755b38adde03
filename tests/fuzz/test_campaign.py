"""A campaign handed any labels, budgets and files in between."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from fuzz.harness import REFUSED, answer, fuzz
from fuzz.inputs import ODD
from hypothesis import strategies as st

from skmmal.campaign import LabelingCampaign, read_labels_file

N = 30
rng = np.random.default_rng(0)
TRUTH = np.array(["cat", "dog", "eel"])[np.arange(N) % 3]
X = {"a": rng.standard_normal((N, 3)) + np.arange(N)[:, None] % 3, "b": rng.standard_normal((N, 2))}
X["b"][::7] = np.nan
IDS = [f"s{k:02d}" for k in range(N)]
ERRORS = (FileExistsError, FileNotFoundError)


def begin(folder, **options):
    options = {"initial": "random", "strategy": "margin", "n_instances": 6, **options}
    return LabelingCampaign.create(folder, X, ids=IDS, **options)


labels = st.one_of(
    st.dictionaries(st.sampled_from([*IDS[:12], "unknown", "", " s01 "]), st.sampled_from(["cat", "dog", "eel", "new", "", None, 3, 1.5, True, "a\nb", "x" * 500]), max_size=6),
    st.lists(st.fixed_dictionaries({"id": st.sampled_from([*IDS[:6], None]), "label": st.sampled_from(["cat", "dog", None]), "state": st.sampled_from(["label", "skip", "unsure", "other", None])}), max_size=5),
    st.lists(st.fixed_dictionaries({"id": st.sampled_from(IDS[:4]), "label": st.sampled_from(["cat", "dog", "skip"]), "state": st.sampled_from(["label", "reject", ""]), "annotator": st.sampled_from(["ann", "1", ""]), "when": st.sampled_from(["", "2026-01-01", "2026-01-02"]), "annotation": st.sampled_from(["", "7"]), "authority": st.sampled_from(["", "yes"])}), max_size=5).map(pd.DataFrame),
    st.sampled_from([*ODD, pd.DataFrame(), pd.DataFrame({"id": ["s00"]}), pd.DataFrame({"label": ["cat"]}), pd.DataFrame({"id": ["s00", "s00"], "label": ["cat", "dog"]}), pd.Series(["cat"], index=["s00"]), "nothing.csv", Path("/nothing")]),
)


@fuzz(20)
def test_rounds(data):
    with tempfile.TemporaryDirectory() as name:
        campaign = begin(Path(name) / "c")
        handed: list[str] = []
        for _ in range(data.draw(st.integers(1, 3))):
            budget = data.draw(st.sampled_from([None, 1, 3, 0, -1, N + 1, "a", 1.5, True]))
            batch = answer("LabelingCampaign.next_batch", lambda: campaign.next_batch(budget, random_fraction=data.draw(st.sampled_from([None, 0.5, 2, "a"]))))  # noqa: B023
            if batch is not REFUSED:
                new = batch["id"].tolist()
                assert len(set(new)) == len(new)
                assert set(new) <= set(IDS)
                assert not set(new) & set(handed)
                handed += new
                some = new[: data.draw(st.integers(0, len(new)))]
                answer("LabelingCampaign.add_labels", lambda: campaign.add_labels({i: TRUTH[IDS.index(i)] for i in some}, allow_new_classes=True) if some else None, valid=True)  # noqa: B023
            before = campaign.history
            given = data.draw(labels)
            options = {key: data.draw(st.booleans()) for key in ("allow_new_classes", "ignore_unknown", "snapshot")}
            options["map_classes"] = data.draw(st.sampled_from([None, {"new": "cat"}, {"cat": "skip", "dog": "cat"}, {"a": ""}, 3]))
            options["authority"] = data.draw(st.sampled_from([(), "ann", ["ann", "bob"]]))
            done = answer("LabelingCampaign.add_labels", lambda: campaign.add_labels(given, **options), errors=ERRORS)  # noqa: B023
            if done is REFUSED:
                pd.testing.assert_frame_equal(campaign.history, before)
            assert campaign.status().counts is not None
            gone = data.draw(st.sampled_from([None, [], "s00", ["s01", "s02"], "unknown", 3, handed[:2]]))
            before = campaign.history
            done = answer("LabelingCampaign.retract", lambda: campaign.retract(gone, annotator=data.draw(st.sampled_from([None, "ann"]))))  # noqa: B023
            if done is not REFUSED and done["entry"] is not None:
                assert not set(done["ids"]) & set(campaign.history["id"]) or len(campaign.history) < len(before)
            else:
                pd.testing.assert_frame_equal(campaign.history, before)
        answer("LabelingCampaign.undo", lambda: campaign.undo(data.draw(st.sampled_from([None, 1, 2, 99, -1, "a", 0]))))
        answer("LabelingCampaign.doubts", lambda: campaign.doubts(data.draw(st.sampled_from([None, 1, 0, "a"])), n_folds=data.draw(st.sampled_from([2, 5, 1, "a"]))))
        answer("LabelingCampaign.status", lambda: campaign.status(), valid=True)
        again = answer("LabelingCampaign.open", lambda: LabelingCampaign.open(Path(name) / "c", features=X, ids=IDS), valid=True)
        pd.testing.assert_frame_equal(again.history, campaign.history)


@fuzz(60)
def test_create(data):
    options = ["strategy", "initial", "estimator", "scale", "n_instances", "random_fraction", "class_balance", "classes", "validation", "stopping", "seed", "n_stop_set"]
    name = data.draw(st.sampled_from(options))
    value = data.draw(st.sampled_from([*ODD, ["cat", "dog"], ["cat", "cat"], "margin", "bmmal", ["budget=3"], {"s00": "cat"}, {"zz": "cat"}, 0.25]))
    with tempfile.TemporaryDirectory() as folder:
        made = answer("LabelingCampaign.create", lambda: begin(Path(folder) / "c", **{name: value}), errors=ERRORS)
        if made is REFUSED:
            assert not (Path(folder) / "c" / "campaign.json").exists()
        else:
            answer("LabelingCampaign.next_batch", lambda: made.next_batch())


@fuzz(70)
def test_label_files(data):
    """Any bytes as a file of labels."""
    good = {
        ".csv": b"id,label\ns00,cat\ns01,dog\n",
        ".tsv": "ID\tLabel\r\ns00\tcat\r\n".encode("utf-16"),
        ".txt": b"sep=;\nid;label\ns00;cat\n",
        ".jsonl": b'{"id": "s00", "label": "cat"}\n{"id": "s01", "label": "dog"}\n',
        ".json": json.dumps([{"id": 1, "data": {"skmmal_id": "s00"}, "annotations": [{"id": 3, "result": [{"type": "choices", "value": {"choices": ["cat"]}, "from_name": "label", "to_name": "x"}]}]}]).encode(),
    }
    suffix = data.draw(st.sampled_from(list(good)))
    content = bytearray(good[suffix])
    kind = data.draw(st.sampled_from(["good", "flipped", "truncated", "random", "deep", "text", "zeros", "other"]))
    if kind == "flipped":
        for _ in range(data.draw(st.integers(1, 6))):
            content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "truncated":
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    elif kind == "random":
        content = bytearray(data.draw(st.binary(max_size=60)))
    elif kind == "deep":
        content = bytearray(b"[" * 100_000)
    elif kind == "text":
        content = bytearray(data.draw(st.text(max_size=40)).encode("utf-8", "replace"))
    elif kind == "zeros":
        content = bytearray(50)
    elif kind == "other":
        content = bytearray(good[data.draw(st.sampled_from(list(good)))])
    source = data.draw(st.sampled_from(["auto", "auto", "csv", "jsonl", "label-studio", "prodigy", "nothing", None]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"labels{suffix}"
        path.write_bytes(content)
        found = answer("read_labels_file", lambda: read_labels_file(path, source), valid=True if kind == "good" and source == "auto" else None)
        if found is not REFUSED:
            assert isinstance(found, pd.DataFrame)
        campaign = begin(Path(folder) / "c")
        before = campaign.history
        done = answer("LabelingCampaign.add_labels", lambda: campaign.add_labels(path, source=source or "auto"), errors=ERRORS)
        if done is REFUSED:
            pd.testing.assert_frame_equal(campaign.history, before)
