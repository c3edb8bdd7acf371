"""Benchmarks: each module bench_* has ``run()``, which yields figures; `make bench` prints them.

Invariant: speed is measured here and asserted nowhere.
"""
