"""What the core is measured against, on the same machine, in the same run, with the same orders and the same durability."""
