"""Picking: blobs by the Laplacian of Gaussian, templates by correlation, peaks and filaments."""
