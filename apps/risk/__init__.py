"""risk (8103): may this order pass? Follows the journal, answers over NATS and HTTP, reserves what it approves."""
