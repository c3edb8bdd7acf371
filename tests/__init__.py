"""The tests: a mirror of the packages, house, bench, journeys, golden and properties."""
