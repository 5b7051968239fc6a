"""Orders that belong together: what follows for the others when one of them changes."""
