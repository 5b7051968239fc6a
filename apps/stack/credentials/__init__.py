"""Who may do what on NATS, Valkey and QuestDB, and the passwords that say who somebody is."""
