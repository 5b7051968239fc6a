"""What the market shows: quotes, hours, closes, listings, and markets that are recorded or simulated."""
