"""Everything that outlives a process; the only door to MLflow."""
