"""Hostile files, each built here, and what the tool answers to them."""
