"""The client of gateways: usage events onto a disk at once, and from there to the service.

    from billing.client import UsageClient

    with UsageClient(
        url="https://billing.example", key="tw_...", spool=Path("usage.db"), source="gw-eu-1"
    ) as client:
        client.record(
            account="acme",
            model="gpt-oss-120b",
            service_tier="standard",
            units={"input_tokens": 1200, "output_tokens": 300},
            id="resp-7f3",
        )

Invariant: it imports nothing of the service, and an event for which ``record`` returned is in the
spool until the service has answered for it, whatever dies meanwhile.
"""

from billing.client.spool import RefusedEvent, SpoolError, SpoolFullError
from billing.client.usage_client import UsageClient

__all__ = ["RefusedEvent", "SpoolError", "SpoolFullError", "UsageClient"]
