"""Whether to retrain; pure."""
