"""Optimal stopping."""
