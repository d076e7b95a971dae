"""Which stage may follow which; pure."""
