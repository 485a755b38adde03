"""What every folder of ours stands on: whole or not there, sealed by checksums, locked, without pickles.

Feature caches, experiment runs, campaigns and saved models write through these functions. ``_files`` and ``_folders``
replace a file or a folder in one step, ``_sealed`` writes JSON that carries its checksum and shows how two descriptions
differ, ``_locks`` lets one process at a time work.
"""

from __future__ import annotations

from skmmal._store._files import (
    TEMPORARY,
    bytes_below,
    entries,
    explained,
    fsync_folder,
    replace_file,
    sweep,
    write_file,
    write_new,
)
from skmmal._store._folders import new_folder, put_back
from skmmal._store._locks import holder, is_locked, locked, this_process
from skmmal._store._sealed import (
    SEAL,
    check_format,
    check_same,
    check_seal,
    difference,
    digest,
    dumps,
    fingerprint,
    parse_json,
    plain,
    sealed,
)

__all__ = [
    "SEAL",
    "TEMPORARY",
    "bytes_below",
    "check_format",
    "check_same",
    "check_seal",
    "difference",
    "digest",
    "dumps",
    "entries",
    "explained",
    "fingerprint",
    "fsync_folder",
    "holder",
    "is_locked",
    "locked",
    "new_folder",
    "parse_json",
    "plain",
    "put_back",
    "replace_file",
    "sealed",
    "sweep",
    "this_process",
    "write_file",
    "write_new",
]
