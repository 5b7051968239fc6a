"""The domain: orders, positions, risk and routing. Pure and synchronous: no clock, no I/O."""
