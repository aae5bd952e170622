"""Killed, stopped and refused at any moment, nothing is lost and nothing is done twice."""
