"""Spiking neurons, surrogate gradients and activations."""
