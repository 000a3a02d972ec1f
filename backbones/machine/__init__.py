"""Devices, threads and processes."""
