"""One adapter for each framework."""
