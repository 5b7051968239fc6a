"""The only place where ports meet adapters: each service takes its connections, stores and feeds from here."""
