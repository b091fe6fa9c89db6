"""A simulator of the whole experiment, from atoms to files, with the truth beside the data.

It goes by a path of its own: rotations, projections and the CTF are written from the definitions of
the file formats and share no code with `vitreous.engine`, so that an error in one of the two shows.
"""
