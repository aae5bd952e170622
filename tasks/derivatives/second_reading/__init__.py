"""A scan read a second time, by other libraries than the reader's, for the tone gate.

Nothing of `tasks.scans` decides here: tifffile, imagecodecs and Pillow decode where libvips and
simplejpeg read, other parsers find the tags, and lcms gives lightness. An error of the reader is
then no error of the gate, and is found out before anything is published.
"""

from tasks.derivatives.second_reading.light import Light, light_of_profile
from tasks.derivatives.second_reading.reading import Place, Refuted, SecondReading, read_again
from tasks.derivatives.second_reading.tiff import OtherPage
from tasks.derivatives.second_reading.tone import Unstated
