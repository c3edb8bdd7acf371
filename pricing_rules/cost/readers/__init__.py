"""Readers of benchmark formats: bytes and a name in, operating points and refused rows out.

Invariant: what a format does not say is asked for or refused, never guessed.
"""
