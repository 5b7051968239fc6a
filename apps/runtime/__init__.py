"""The runtime of every service: the chassis, health, logs, metrics, tasks, and helper processes."""
