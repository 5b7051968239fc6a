"""Backup of the journals to one file, and restore from it."""
