"""desk: the page, the stream, and a gateway to the other services for the page."""
