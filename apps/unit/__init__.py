"""oms, risk and exeq of one shard in one process: what they share, and the process."""
