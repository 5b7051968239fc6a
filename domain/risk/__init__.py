"""May this order pass? Limits, exposure as a fold of the journal, checks in a row; check and reservation are one step."""
