"""Files of any number as one evaluation, read by this process, by those of an executor, or by a Dask cluster."""

from calibkit.shards.dask import connected
from calibkit.shards.files import state_of_files
from calibkit.shards.merging import merge_states
from calibkit.shards.progress import Progress, Report
from calibkit.shards.shard import shard_name, state_of_shard

__all__ = ["Progress", "Report", "connected", "merge_states", "shard_name", "state_of_files", "state_of_shard"]
