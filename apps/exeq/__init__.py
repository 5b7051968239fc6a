"""Execution: the queue, the choice of a venue, and sends, which are journaled before they reach the wire."""
