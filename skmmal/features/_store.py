"""`FeatureStore`: write, extend, join and import feature caches, beside what `CacheReader` reads of them."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skmmal._paths import local_path
from skmmal._store import digest, dumps, new_folder, put_back, sweep, write_file
from skmmal.features._cache import ids_text, refuse_other_ids
from skmmal.features._copies import copy_rows, fill, rows_of_block
from skmmal.features._files import check_name, mutex
from skmmal.features._growing import GrowingCache, may_be_replaced
from skmmal.features._manifest import FORMAT, OWN_KEYS, VERSION
from skmmal.features._modality import check_plain
from skmmal.features._ranges import all_ranges, default_range_rows
from skmmal.features._reader import row_numbers
from skmmal.features._sources import read_sources
from skmmal.modalities import MultimodalArray, as_multimodal, is_multimodal
from skmmal.modalities._rows import check_ids


class FeatureStore(GrowingCache):
    """A folder of features: row *i* of every modality belongs to sample ``ids[i]``.

    ``manifest.json`` says what there is, ``ids.txt`` holds one sample id per line, ``NAME.npy`` the values of a
    modality, ``NAME.present.npy`` which rows have it. ``NAME.ranges.json`` vouches for the rows (checksums,
    failures); a cache without it, made by other means, can be read all the same. Nothing is ever unpickled.

    Make one with `open`, `create`, `write`, `join`, `subset` or `import_files`.

    Parameters
    ----------
    path : path-like
        The folder of a cache; `open` also checks its files.

    Attributes
    ----------
    path : Path
        The folder.
    ids : ndarray of str, shape (n_samples,)
        One distinct id per sample.
    n_samples : int
        Number of rows.
    modalities : dict of str to int or (int, int)
        Width of each modality, or ``(tokens, dim)`` of a token grid.
    metadata : dict of str to dict
        Each modality's entry in the manifest: shape, dtype, backbone, weights, preprocessing, fingerprint.
    files : object
        The files as they were when the cache was opened; how they are kept may change.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> blocks = {"image": np.zeros((3, 4), np.float16), "text": [[1.0, 2.0], [np.nan, np.nan], [3.0, 4.0]]}
    >>> store = FeatureStore.write(tempfile.mkdtemp() + "/features", blocks, ids=["a", "b", "c"])
    >>> store
    FeatureStore(3 samples: image 4, text 2)
    >>> store.load(rows=[0, 2])
    MultimodalArray(2 rows: image 4, text 2)
    >>> store.present("text")
    array([ True, False,  True])
    """

    @classmethod
    def create(cls, path: str | os.PathLike[str], ids: Any) -> FeatureStore:
        """Make a cache without modalities, or open the one there if it has the same ids.

        Parameters
        ----------
        path : path-like
            The folder.
        ids : sequence of str
            One distinct id per sample, without line breaks.

        Returns
        -------
        FeatureStore
            The cache, open.

        Raises
        ------
        ValueError
            No ids, a repeated or unusable one, or a cache that holds other ids.
        FileExistsError
            `path` is not empty and not a cache.
        """
        path, text = put_back(local_path(path)), ids_text(ids)
        path.mkdir(parents=True, exist_ok=True)
        with mutex(path):
            sweep(path, "manifest.json")
            sweep(path, "ids.txt")
            if (path / "manifest.json").exists():
                store = cls(path)
                if text != ids_text(store.ids):
                    refuse_other_ids(path, store.ids, [str(identifier) for identifier in ids])
                return store
            foreign = [entry.name for entry in path.iterdir() if entry.name not in (".lock", "ids.txt")]
            if foreign:
                raise FileExistsError(f"{path} is not empty and not a feature cache (it holds {foreign[0]!r})")
            write_file(path / "ids.txt", text)
            manifest = {
                "format": FORMAT,
                "version": VERSION,
                "n_samples": text.count(b"\n"),
                "ids_sha256": digest(text),
                "modalities": {},
            }
            write_file(path / "manifest.json", dumps(manifest))
        return cls(path)

    @classmethod
    def write(
        cls,
        path: str | os.PathLike[str],
        blocks: Any,
        ids: Sequence[Any],
        metadata: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        overwrite: bool = False,
    ) -> FeatureStore:
        """Write a whole cache: it appears complete, or not at all.

        Parameters
        ----------
        path : path-like
            A folder that does not exist or is empty.
        blocks : mapping of str to array, MultimodalArray, or DataFrame with (modality, feature) columns
            A row of a modality that is entirely NaN is missing there.
        ids : sequence of str
            One distinct id for each row.
        metadata : mapping of str to mapping, optional
            Name to what should be remembered: backbone, weights, preprocessing, ...
        overwrite : bool, default=False
            Replace a cache that is there. At every moment, also after a kill, there is the old one at `path` or the
            new one.

        Returns
        -------
        FeatureStore
            The new cache.

        Raises
        ------
        ValueError
            `path` is a URL, ids or values that cannot be used.
        FileExistsError
            `path` holds something, and `overwrite` is false.
        CacheInUseError
            Another process is writing into the cache that is to be replaced.
        """
        path = local_path(path)
        array = as_multimodal(blocks) if is_multimodal(blocks) else MultimodalArray(blocks)
        _check_metadata(metadata, array.modalities)
        for name in array.modalities:
            check_name(name)
        n_ids = ids_text(ids).count(b"\n")
        if n_ids != len(array):
            raise ValueError(f"blocks have {len(array)} rows, and there are {n_ids} ids; one id for each row is needed")
        check_ids(blocks, ids, "blocks")
        with new_folder(path, may_be_replaced if overwrite else None) as folder:
            store = cls.create(folder, ids)
            for name, block in array.blocks.items():
                about = (metadata or {}).get(name, {})
                writer = store.writer(name, array.modalities[name], dtype=block.dtype.name, metadata=about)
                fill(writer, rows_of_block(name, block))
        return cls.open(path)

    def append(
        self,
        name: str,
        block: Any,
        ids: Sequence[Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> FeatureStore:
        """Add a modality. Interrupted, the same call continues.

        Parameters
        ----------
        name : str
            A name that is not there yet.
        block : array-like of shape (n_samples, n_features) or (n_samples, tokens, dim)
            A row that is entirely NaN is missing.
        ids : sequence of str, optional
            Ids of the block's rows, in any order; they must be the cache's. Default: the cache's order.
        metadata : mapping, optional
            What should be remembered of the modality.

        Returns
        -------
        FeatureStore
            This one.

        Raises
        ------
        CacheError
            The ids are not the cache's, or another cache stands at the path since this one was opened.
        ValueError
            Another number of rows, or values that cannot be used.
        """
        self.files.check_current()
        array = MultimodalArray({check_name(name): block})
        check_ids(block, self.ids if ids is None else ids, f"modality {name!r}")
        block, width = array[name], array.modalities[name]
        rows = np.arange(len(block))
        if ids is not None:
            given = ids_text(ids).decode().split("\n")[:-1]
            if len(given) != len(block):
                raise ValueError(f"modality {name!r} has {len(block)} rows and {len(given)} ids")
            at = {identifier: row for row, identifier in enumerate(given)}
            if len(at) != self.n_samples or any(identifier not in at for identifier in self.ids):
                refuse_other_ids(self.path, self.ids, given)
            rows = np.array([at[identifier] for identifier in self.ids], dtype=np.intp)
        if len(rows) != self.n_samples:
            raise ValueError(f"modality {name!r} has {len(rows)} rows, {self.path} has {self.n_samples} samples")
        read, content = rows_of_block(name, block, rows), 0
        for part in all_ranges(self.n_samples, default_range_rows(block[:1].nbytes)):
            values, _ = read(slice(part.start, part.stop))  # what cannot be used is refused before anything is written
            content = zlib.crc32(values.data.cast("B"), content)
        dtype, fingerprint = block.dtype.name, {"appended": content}
        fill(self.writer(name, width, dtype=dtype, fingerprint=fingerprint, metadata=metadata), read)
        return self

    def join(self, other: FeatureStore, path: str | os.PathLike[str], how: str = "inner") -> FeatureStore:
        """Write a cache with the modalities of two, matched by id.

        Parameters
        ----------
        other : FeatureStore
            Its modalities must have other names.
        path : path-like
            The new folder.
        how : {"inner", "left", "outer"}, default="inner"
            Ids in both; all of this one's; all of this one's, then the other's. What one lacks is missing.

        Returns
        -------
        FeatureStore
            The new cache.
        """
        path = local_path(path)
        if how not in ("inner", "left", "outer"):
            raise ValueError(f"how must be 'inner', 'left' or 'outer', got {how!r}")
        same = sorted({*self.metadata} & {*other.metadata})
        if same:
            raise ValueError(f"both caches have modality {same[0]!r}; a joined cache needs distinct names")
        mine, theirs = ({str(i): row for row, i in enumerate(store.ids)} for store in (self, other))
        ids = [i for i in mine if how != "inner" or i in theirs]
        ids += [i for i in theirs if how == "outer" and i not in mine]
        if not ids:
            raise ValueError(f"{self.path} and {other.path} have no id in common")
        with new_folder(path) as folder:
            new = type(self).create(folder, ids)
            for store, row_of in ((self, mine), (other, theirs)):
                copy_rows(store.files, new.writer, np.array([row_of.get(i, -1) for i in ids]), list(store.metadata))
        return self.open(path)

    def subset(
        self,
        path: str | os.PathLike[str],
        rows: Any = None,
        *,
        ids: Sequence[str] | None = None,
        modalities: Sequence[str] | None = None,
    ) -> FeatureStore:
        """Write a cache with some of the rows, or some of the modalities.

        Parameters
        ----------
        path : path-like
            The new folder.
        rows : slice, mask or array of int, optional
            Default: all.
        ids : sequence of str, optional
            Instead of `rows`.
        modalities : sequence of str, optional
            Default: all.

        Returns
        -------
        FeatureStore
            The new cache.
        """
        path = local_path(path)
        if rows is not None and ids is not None:
            raise ValueError("give rows or ids, not both")
        numbers = self.index(ids) if ids is not None else row_numbers(slice(None) if rows is None else rows, len(self))
        names = self.files.names(modalities)
        with new_folder(path) as folder:
            copy_rows(self.files, type(self).create(folder, self.ids[numbers]).writer, numbers, names)
        return self.open(path)

    @classmethod
    def import_files(
        cls,
        path: str | os.PathLike[str],
        sources: Any,
        *,
        ids: Sequence[Any] | None = None,
        id_column: str = "id",
        metadata: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> FeatureStore:
        """Make a cache of features that are already on disk.

        Parameters
        ----------
        path : path-like
            The new folder.
        sources : path or mapping of str to path or (path, key)
            A ``.npz``, ``.safetensors`` or ``.parquet`` file or a Hugging Face ``datasets`` folder
            (``save_to_disk``) whose arrays, or columns of lists, are the modalities; or, per modality, such a file
            and what it is called there (default: the modality's name), or an ``.npy`` file. A key that is a list
            of column names puts scalar columns side by side. Columns of Parquet are read a group of rows at a time, by
            way of a file without a name beside `path`: there must be room for the features twice.
        ids : sequence of str, optional
            Default: the array or column `id_column` of the first source that has one, else the row numbers.
        id_column : str, default="id"
            Name of the array or column that holds the ids.
        metadata : mapping, optional
            As in `write`. The file each modality came from is recorded in any case.

        Returns
        -------
        FeatureStore
            The new cache.

        Examples
        --------
        >>> import tempfile, numpy as np
        >>> folder = tempfile.mkdtemp()
        >>> np.savez(folder + "/old.npz", id=["a", "b"], image=np.zeros((2, 3)), text=np.ones((2, 2)))
        >>> FeatureStore.import_files(folder + "/new", folder + "/old.npz")
        FeatureStore(2 samples: image 3, text 2)
        """
        path = local_path(path)
        blocks, found, origin = read_sources(sources, id_column, path.parent)
        if ids is None:
            n_samples = len(next(iter(blocks.values())))
            ids = found if found is not None else [str(row) for row in range(n_samples)]
        notes = {name: {"imported_from": origin[name], **(metadata or {}).get(name, {})} for name in blocks}
        return cls.write(path, blocks, ids, notes)


# ------------------------------------------------------------------------------------------------------- helpers


def _check_metadata(metadata: Mapping[str, Any] | None, names: Mapping[str, Any]) -> None:
    if metadata is not None and not isinstance(metadata, Mapping):
        raise TypeError(f"metadata must map modalities to mappings, got {metadata!r}")
    for name, entry in (metadata or {}).items():
        if name not in names:
            raise ValueError(f"metadata names modality {name!r}; there are {list(names)}")
        check_plain(f"metadata of {name!r}", entry)
        clash = sorted({*entry} & {*OWN_KEYS})
        if clash:
            raise ValueError(f"metadata of {name!r} sets {clash[0]!r}, which the cache writes itself")
