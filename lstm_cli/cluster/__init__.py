"""Batches on many machines: a Dask cluster runs the chunks, and the answers are those of one."""

from __future__ import annotations

from lstm_cli.cluster.connection import LOCAL, connected
from lstm_cli.cluster.folder import Folder
from lstm_cli.cluster.parts import Batch
from lstm_cli.cluster.runner import Cluster, ClusterError

__all__ = ["LOCAL", "Batch", "Cluster", "ClusterError", "Folder", "connected"]
