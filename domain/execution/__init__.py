"""What is sent where: the queue, the choice of a venue, venue health, and what a venue has against what we have."""
