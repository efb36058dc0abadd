"""Comparisons with frameworks that run live; `pytest -m oracle tests/oracle`, see requirements.txt."""
