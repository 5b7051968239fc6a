"""The order management service: the door, the risk call, the only writer of the order journal, and the reads."""
