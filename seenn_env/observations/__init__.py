"""Observations: columns of numbers that an agent sees after a timestep."""
