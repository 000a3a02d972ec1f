"""Training through time."""
