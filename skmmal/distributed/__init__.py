"""Pools that are spread over workers: in this process, on a Dask cluster, or on Ray."""

from skmmal.distributed._points import ShardedPoints
from skmmal.distributed._pool import ShardedPool
from skmmal.distributed._reading import ShardedReading, View
from skmmal.distributed._workers import WorkerLostError

__all__ = ["ShardedPoints", "ShardedPool", "ShardedReading", "View", "WorkerLostError"]
