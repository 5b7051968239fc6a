"""Writing and reading journals: the host of a shard, group commit, subscriptions, snapshots, watermarks."""
