"""How the world does it: one file per machine, each behind a port of domain/ports.py."""
