"""SEENN-II (sequential) by the algorithms of stable-baselines3."""
