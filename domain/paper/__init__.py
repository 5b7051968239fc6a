"""A paper venue: a matching engine that decides and journals like any other aggregate."""
