"""Accounts, owners and keys: who may do what, as a fold of access events."""
