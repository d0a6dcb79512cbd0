"""Assessments and findings: sealed health data with the instrument's own scoring."""
