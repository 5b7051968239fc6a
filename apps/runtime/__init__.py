"""What every service runs on: the chassis, health, logs, metrics, tasks, and the programs that it starts beside itself."""
