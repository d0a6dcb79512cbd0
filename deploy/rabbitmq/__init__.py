"""The broker: who may write and read what, generated from `contracts/calls.yaml`."""
