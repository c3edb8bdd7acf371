"""What the demo runs on: its documents, and usage that is generated from a seed.

Invariant: the demo reads nothing but what lies here, and two runs with one seed give the same
bytes.
"""
