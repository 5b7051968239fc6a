"""A real browser against a running stack: `make browser-test`."""
