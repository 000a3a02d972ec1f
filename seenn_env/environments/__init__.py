"""The single environments."""
