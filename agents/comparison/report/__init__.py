"""The report of a comparison: table, JSON, pictures, TensorBoard."""
