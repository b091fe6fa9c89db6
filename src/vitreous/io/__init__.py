"""Files: STAR, MRC, TIFF, EER, image references."""

from vitreous.io.image_refs import ImageRef, format_ref, parse_ref
from vitreous.io.images import Image, ImageStack, read_image, read_images
from vitreous.io.movies import Movie, open_movie
from vitreous.io.mrc import (
    FormatWarning,
    MrcHeader,
    Volume,
    map_images,
    read_header,
    read_mrc,
    read_volume,
    write_mrc,
    write_volume,
)
from vitreous.io.mrc_stack import StackWriter, append_images, rewrite_images
from vitreous.io.star import Star, format_star, parse_star, read_star, write_star
from vitreous.io.star_table import Table

__all__ = [
    "FormatWarning",
    "Image",
    "ImageRef",
    "ImageStack",
    "Movie",
    "MrcHeader",
    "StackWriter",
    "Star",
    "Table",
    "Volume",
    "append_images",
    "format_ref",
    "format_star",
    "map_images",
    "open_movie",
    "parse_ref",
    "parse_star",
    "read_header",
    "read_image",
    "read_images",
    "read_mrc",
    "read_star",
    "read_volume",
    "rewrite_images",
    "write_mrc",
    "write_star",
    "write_volume",
]
