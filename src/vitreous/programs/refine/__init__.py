"""One loop for 2D classification, initial models, 3D classification and auto-refine."""
