"""SEENN-II (sequential), trained on the exact expected reward."""
