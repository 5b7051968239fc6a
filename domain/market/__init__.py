"""Market data: quotes, hours, closes, listings, and recorded or simulated markets."""
