"""gateway: sessions with the venues of the market, whose messages it writes to the stream of raw frames."""
