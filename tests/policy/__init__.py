"""The law: engine, rule files, cases, and the proofs that they say what is meant."""
