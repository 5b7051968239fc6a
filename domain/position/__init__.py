"""Positions of accounts, and the rows that other programs read."""
