"""Planning: what a factory made of its hardware, what its power should serve, what a book would do.

Invariant: it advises and never sets a rate. Floats live here as in ``cost``, and leave through
``floor.quantise``; nothing here reads a clock or a file.
"""
