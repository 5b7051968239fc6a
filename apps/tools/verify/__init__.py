"""Is everything what the journal says? One pass over it, then every view held against the pass; for `trade verify` and oms's own door."""
