"""SEENN-II (one-shot), as in the paper."""
