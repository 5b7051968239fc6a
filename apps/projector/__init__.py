"""projector: folds the journal into positions (Valkey) and fills (QuestDB or SQLite), for readers. Each store is updated independently."""
