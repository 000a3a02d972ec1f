"""Vector environments for stable-baselines3."""
