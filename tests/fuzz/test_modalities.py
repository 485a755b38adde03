"""Layouts, containers, packing, presence: any input is understood, or refused with the modality and the row."""

import numpy as np
import pytest
from fuzz.harness import REFUSED, answer, fuzz
from fuzz.inputs import FORM_DEFECTS, ODD, VALUE_DEFECTS, features
from hypothesis import strategies as st

from skmmal import MultimodalArray, concatenate, pack, unpack
from skmmal.modalities import as_multimodal, presence_mask, resolve_layout

# what a container of numbers may hold although an estimator would refuse it
HARMLESS = {*VALUE_DEFECTS, "no-rows"}


def same(found, blocks):
    for name, block in blocks.items():
        np.testing.assert_array_equal(np.asarray(found[name], dtype=np.float64), block.astype(np.float64))


@fuzz(250)
def test_as_multimodal(data):
    given = data.draw(features())
    valid = given.defect is None or given.defect in HARMLESS
    found = answer("as_multimodal", lambda: as_multimodal(given.X, given.modalities), valid=valid)
    if found is REFUSED:
        return
    assert found.ndim == 2
    assert found.shape == (len(found), sum(block.shape[1] for block in found.blocks.values()))
    if given.defect is None:
        same(found, given.blocks)


@fuzz(200)
def test_multimodal_array(data):
    given = data.draw(features(containers=["mapping", "mapping-torch", "mapping-frame", "mapping-memmap"]))
    mapping = isinstance(given.X, dict)
    valid = mapping and (given.defect is None or given.defect in HARMLESS)
    declared = data.draw(st.sampled_from([None, None, None, {}, {"a": 1}, {"a": "3"}, {"a": 0}, {"a": (1, 2)}, [1], "a"]))
    if declared is not None:
        valid = None
    found = answer("MultimodalArray", lambda: MultimodalArray(given.X, declared), valid=valid)
    if found is REFUSED or len(found) == 0:
        return
    key = data.draw(
        st.one_of(
            st.integers(-20, 20),
            st.lists(st.integers(-15, 15), max_size=4),
            st.slices(len(found)),
            st.sampled_from(
                [
                    *(None, "a", "nothing", ["a"], [], 1.5, [0.5], [True], (0, ...), (0, 0), ([0], slice(None)), {}, ...),
                    *(np.array([[0]]), np.zeros(len(found), dtype=bool), np.ones(len(found) + 1, dtype=bool), [None]),
                ]
            ),
        )
    )
    rows = answer("MultimodalArray[...]", lambda: found[key], errors=(IndexError, KeyError), ours=False)
    if isinstance(rows, MultimodalArray) and not isinstance(key, list | str | tuple):
        np.testing.assert_array_equal(np.asarray(rows), np.asarray(found)[key])


@fuzz(150)
def test_presence_mask(data):
    given = data.draw(features(defects=VALUE_DEFECTS))
    X = as_multimodal(given.X, given.modalities)
    present = answer("presence_mask", lambda: presence_mask(X), valid=given.defect is None)
    if present is not REFUSED:
        truth = np.stack([~np.isnan(_float(block)).all(axis=1) for block in given.blocks.values()], axis=1)
        np.testing.assert_array_equal(present, truth)


def _float(block):
    return block.astype(np.float64)


@fuzz(150)
def test_pack_and_unpack(data):
    given = data.draw(features())
    valid = given.defect is None or given.defect in HARMLESS
    packed = answer("pack", lambda: pack(given.X, given.modalities), valid=valid)
    if packed is REFUSED:
        return
    matrix, widths = packed
    found = answer("unpack", lambda: unpack(matrix, widths), valid=True)
    if given.defect is None:
        same(found, given.blocks)
    layout = data.draw(st.sampled_from([*ODD, {"a": matrix.shape[1] + 1}, {"a": matrix.shape[1]}, {"a": slice(None)}]))
    again = answer("unpack", lambda: unpack(matrix, layout))
    if again is not REFUSED:
        assert again.shape == matrix.shape
    answer("unpack", lambda: unpack(data.draw(st.sampled_from(ODD)), widths))


widths = st.one_of(
    *(st.integers(-1, 6), st.tuples(st.integers(-1, 3), st.integers(0, 3)), st.lists(st.integers(-1, 6), max_size=4)),
    st.slices(6),
    st.sampled_from([*ODD, ["a"], ["a", "c"], ["zz"], ["a", 1], [True], np.array([0, 1]), range(3), "ab", slice(0, 99), slice("a", 2)]),
)


@fuzz(200)
def test_resolve_layout(data):
    layout = data.draw(st.one_of(st.dictionaries(st.sampled_from(["a", "b", "c", 3, "", None]), widths, max_size=3), st.sampled_from(ODD)))
    n_columns = data.draw(st.integers(1, 6))
    names = data.draw(st.sampled_from([None, list("abcdef")[:n_columns]]))
    found = answer("resolve_layout", lambda: resolve_layout(layout, n_columns, names))
    if found is REFUSED:
        return
    covered = np.concatenate([np.arange(n_columns)[columns] for columns in found.columns.values()])
    assert sorted(covered.tolist()) == list(range(n_columns))  # every column once: nothing is dropped


@fuzz(80)
def test_concatenate(data):
    given = data.draw(features(containers=["multimodal"], defects=[]))
    at = data.draw(st.integers(0, given.n))
    found = answer("concatenate", lambda: concatenate([given.X[:at], given.X[at:]]), valid=True)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(given.X))
    parts = [data.draw(features(max_modalities=2)).X for _ in range(data.draw(st.integers(0, 3)))]
    found = answer("concatenate", lambda: concatenate(parts))
    if found is not REFUSED:
        assert len(found) == sum(len(part) for part in parts)


@pytest.mark.parametrize("defect", [*VALUE_DEFECTS, *FORM_DEFECTS])
def test_every_defect_is_generated(defect):
    """The generator's own test: a defect that could not be made would silently test nothing."""
    from fuzz.inputs import _damage, broken

    blocks = {"a": np.ones((3, 2)), "b": np.ones((3, 4))}
    if defect in VALUE_DEFECTS:
        assert _damage(blocks, defect, np.random.default_rng(0)) == defect
        assert not all(np.isfinite(block).all() for block in blocks.values())
    else:
        assert len(broken(blocks, defect)) == 2
