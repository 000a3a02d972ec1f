"""Conversion of trained networks without time into spiking networks."""
