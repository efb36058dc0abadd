"""`lstm-step exercise`: numbers that people can work with, as sheet, key and template."""
