"""Spiking networks with explicit state."""
