"""The options of a pytest set-up that name the files of a pricing team.

Invariant: this file imports nothing, because every pytest run on the machine loads it.
"""

OPTIONS = {
    "tokenworks_factory": "path of factory.yaml",
    "tokenworks_policy": "path of policy.yaml",
    "tokenworks_measurements": "paths of measurement files, one a line",
    "tokenworks_effective_from": "when the candidate takes effect, such as 2026-12-01T00:00:00Z",
    "tokenworks_previous_book": "path of the price book before, where there is one",
    "tokenworks_usage_mix": "path of a usage mix, where there is one",
    "tokenworks_markets": "paths of market snapshots, one a line, where rules anchor to them",
}
"""Each option and its meaning; paths are from the root directory of the tests."""

OF_LINES = ("tokenworks_measurements", "tokenworks_markets")
"""Those that may hold several lines."""
