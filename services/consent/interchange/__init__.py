"""Consents that come from elsewhere or go there, in FHIR R4 (contracts/interoperability, contracts/decisions/0035)."""
