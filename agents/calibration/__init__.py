"""Calibration of a policy's threshold to a target."""
