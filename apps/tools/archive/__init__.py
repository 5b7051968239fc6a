"""The archive of the journals: verified, and restored from, without the servers that wrote it."""
