"""oms: the order management service. Submits, risk checks, reads; the only writer of the order journal."""
