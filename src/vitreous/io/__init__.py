"""Files: STAR, MRC, TIFF, EER, image references."""
