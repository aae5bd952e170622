"""Films: read, parted into shots, coloured shot by shot, put together, and given back.

It names nothing: who asks whether a file is a film loads no FFmpeg, and a child no torch.
"""
