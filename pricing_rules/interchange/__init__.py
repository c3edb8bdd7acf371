"""Interchange: price books from and to litellm, genai-prices, openrouter and csv.

Invariant: an import drops nothing silently (each entry is in the book, refused by name, or
without a price), and an export that would come back with another meaning is refused by name.
"""
