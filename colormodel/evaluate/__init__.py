"""The table of every network beside what is left grey, on photographs kept aside."""

from colormodel.evaluate.measure import Contestant, Evidence, Measurement, Measurer
from colormodel.evaluate.photographs import (
    Photograph,
    PhotographsError,
    count_photographs,
    iter_photographs,
)
from colormodel.evaluate.report import reliability_svg, to_json, to_markdown
from colormodel.evaluate.summary import Summary, TableRow, summarise
