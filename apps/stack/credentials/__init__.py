"""Users of NATS, Valkey and QuestDB: their rights and passwords."""
