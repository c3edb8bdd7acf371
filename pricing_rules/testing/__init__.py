"""Pricing-policy tests: a pytest plugin that derives a price book from a team's own files,
assertions on it in the words of the field, and strategies for a team's own properties.

Invariant: nothing of it is imported by the other rooms, and pytest and Hypothesis only by it.
"""
