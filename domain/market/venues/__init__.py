"""Venues of the market: how each frames its messages, one pure decoder and one session script a venue. No clock, no input or output."""
