"""normalizer: raw frames of venues to quotes, trades, books, facts and live bars."""
