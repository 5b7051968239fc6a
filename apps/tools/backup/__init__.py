"""The journals in one file, and back."""
