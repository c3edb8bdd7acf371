"""The examples are repositories of their own, which their tests run as their users do."""

collect_ignore = ["policy_repository"]
