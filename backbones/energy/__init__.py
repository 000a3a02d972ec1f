"""Synaptic operations and energy of inference."""
