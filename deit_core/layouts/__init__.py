"""How the files of each data set lie on disk: found and counted without reading an image.

Torch-free: `deit_core.data_layout` asks on behalf of the launcher, `deit_core.data.sources` when it
opens the data.
"""
