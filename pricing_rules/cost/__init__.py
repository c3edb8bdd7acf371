"""The cost module: measured hardware efficiency in, price floors out.

Invariant: floats live here, and leave at one place (``floor.quantise``); nothing here reads a clock
or a file.
"""
