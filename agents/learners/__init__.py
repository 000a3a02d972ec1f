"""Learners: SEENN-II and optimal stopping."""
