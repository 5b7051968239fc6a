"""live-gateway: paper venues in one process, each with its own journal, session and view of the market."""
