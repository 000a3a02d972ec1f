"""Rules that exit by a score and its threshold."""
