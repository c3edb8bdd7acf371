"""The command ``tokenworks``: one file for each noun, which parses, calls one operation and prints.

Invariant: nothing is computed here; what a command prints, the Python API returns as well.
"""
