"""Devices, memory budget, workers and summing across them."""
