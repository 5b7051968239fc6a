"""The command `trade`: everything a person or a script asks of the system, in words, tables or the API's own bytes."""
