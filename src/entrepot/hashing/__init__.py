"""Digests of values and of code: what cache keys are made of.

`values` knows what a value is, `code` what a function does. Both are imported by name where they are needed: neither
belongs to the start-up of a flow.
"""
