"""Comparison of policies with intervals."""
