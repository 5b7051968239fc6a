"""Configuration: YAML files, their bounds, and one loader for each service."""
