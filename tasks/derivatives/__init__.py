"""Derivatives: the colour files that are written for an item."""

from tasks.derivatives.policy import OutputPolicy, ToneCheck, WrittenFile
from tasks.derivatives.restore import restore_original
from tasks.derivatives.write import write_derivatives
