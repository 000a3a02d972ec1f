"""Traces: the recorded logits of a frozen backbone after each timestep."""
