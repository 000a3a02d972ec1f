"""Live classification and export."""
