"""Batches on many machines: a Dask cluster runs the chunks, and the answers are those of one."""

from __future__ import annotations

from lstm_cli.commands.batch.cluster.connection import LOCAL, connected
from lstm_cli.commands.batch.cluster.folder import Folder
from lstm_cli.commands.batch.cluster.parts import Batch
from lstm_cli.commands.batch.cluster.runner import Cluster, ClusterError

__all__ = ["LOCAL", "Batch", "Cluster", "ClusterError", "Folder", "connected"]
