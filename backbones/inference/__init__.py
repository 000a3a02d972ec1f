"""Forms of a trained network for inference and deployment."""
