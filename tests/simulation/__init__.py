"""The whole system on one event loop and a clock of our own: a run is a pure function of its seed."""
