"""Execution: the queue, the choice of a venue, and the send that is logged before the wire."""
