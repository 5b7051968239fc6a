"""The `trade` command: operations on the system for users and scripts, with text, tables or the API's own bytes as output."""
