"""Use cases, one file per noun: gather the inputs, call the pure core, write what comes out.

Invariant: no arithmetic here; a file is written whole or not at all.
"""
