"""Programs that check, rebuild and back up the journal and its projections, run by `trade` and, as helper processes, by services."""
