"""Pools that are spread over workers: in this process, on a Dask cluster, or on Ray."""

from skmmal.distributed._pool import ShardedPool
from skmmal.distributed._rows import Subset
from skmmal.distributed._workers import WorkerLostError
from skmmal.reading._sharded import ShardedReading, View
from skmmal.reading._sharded_points import ShardedPoints

__all__ = ["ShardedPoints", "ShardedPool", "ShardedReading", "Subset", "View", "WorkerLostError"]
