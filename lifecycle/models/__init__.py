"""A model file as a thing: load and verify, compile, predict."""
