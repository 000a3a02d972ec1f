"""The vector environments."""
