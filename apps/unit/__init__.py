"""oms, risk and exeq of one shard in one process, and the program that carries their files to it and back."""
