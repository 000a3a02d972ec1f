"""Fast forms of plain functions, with the same results."""
