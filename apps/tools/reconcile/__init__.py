"""Helper processes that compare positions in Valkey, and the orders of venues, with the journal."""
