"""What an operator may say: YAML files, their bounds, and one loader for each service."""
