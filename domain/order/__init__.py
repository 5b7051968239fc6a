"""One order from command to event: its table of states, its decisions, its fold, and the index over a shard's orders."""
