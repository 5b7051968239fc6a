"""Execution: the queue, the choice of a venue, venue health, and the comparison of a venue's orders with ours."""
