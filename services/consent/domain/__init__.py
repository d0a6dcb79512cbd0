"""Data protection: what the person allows, refuses, takes back and objects to."""
