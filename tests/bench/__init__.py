"""Long measurements: commands, never timed assertions in the test suite."""
