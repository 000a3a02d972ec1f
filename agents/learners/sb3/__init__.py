"""SEENN-II (sequential), trained by stable-baselines3."""
