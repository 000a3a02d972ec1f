"""Checks of any Gymnasium vector environment."""
