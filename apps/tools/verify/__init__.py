"""Verification: one pass over the journal, with every view compared to it; for `trade verify` and oms's endpoint."""
