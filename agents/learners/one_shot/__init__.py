"""SEENN-II (one-shot), as the paper has it."""
