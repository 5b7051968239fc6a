"""risk (8103): pre-trade checks. Follows the journal, decides over NATS and HTTP, reserves what it approves."""
