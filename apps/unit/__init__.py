"""oms, risk and exeq of one shard as one process, and the program that moves their files there and back."""
