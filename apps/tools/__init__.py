"""Programs that check, rebuild and save what the journal says. `trade` runs them, and so do services, as programs beside them."""
