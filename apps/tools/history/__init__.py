"""Positions as the journal had them at a sequence: a program beside oms, which knows nothing of its live state."""
