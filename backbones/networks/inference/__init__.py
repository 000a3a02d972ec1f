"""The form of a network for inference: batch norms folded, memory reused, other number formats."""
