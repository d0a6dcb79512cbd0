"""Case management: persons, their cases and what stands in the files."""
