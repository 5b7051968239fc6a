"""Point-in-time query of positions at a sequence of the journal: a helper process of oms, independent of its live state."""
