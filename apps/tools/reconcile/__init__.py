"""Programs beside oms that hold what others say against the journal: positions in Valkey, and what venues have."""
