"""One process that colours: it claims items, and takes them through the stages in order.

`batch` runs a claimed batch, its `stages` overlapping; pixel work is done in `children`, by
`pixel_work`. A `worker` is what the process holds open, a `lease` its right to a batch, a `recipe`
what the settings say of pixels.
"""
