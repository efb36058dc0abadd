"""Exercises: random weights that people can work with, as sheet, key and template."""
