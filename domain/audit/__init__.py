"""Independent folds that check the journal and every view of it."""
