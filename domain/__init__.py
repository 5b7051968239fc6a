"""What is true: the order, its life, positions, risk and routing. Pure and synchronous: no clock, no I/O."""
