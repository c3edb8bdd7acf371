"""Health, readiness and metrics.

Invariant: a service that would not store an event says that it is not ready.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from billing.api import metrics
from billing.api.problems import unavailable
from billing.api.service import Service
from billing.operations.epoch import open_epoch
from billing.operations.webhook_sending import webhook_backlog
from pricing_rules.document import Document

routes = APIRouter()


class HealthDocument(Document):
    """That the process answers."""

    status: str = "ok"


class ReadyDocument(Document):
    """That events would be stored now, and in which epoch."""

    status: str = "ready"
    epoch: int


@routes.get("/healthz", summary="Whether the process answers")
async def get_health() -> HealthDocument:
    """Always 200: whoever gets no answer may start the process anew."""
    return HealthDocument()


@routes.get("/readyz", summary="Whether events would be stored")
async def get_readiness(request: Request) -> ReadyDocument:
    """200 where the writer runs and the store can be read, else 503."""
    service: Service = request.app.state.service
    if not service.writer.running:
        raise unavailable("nothing is stored any more; start the service anew")
    return ReadyDocument(epoch=await service.reading(lambda: open_epoch(service.store)))


@routes.get("/metrics", summary="Counters, for Prometheus", response_class=Response)
async def get_metrics(request: Request) -> Response:
    """In the text format of Prometheus."""
    service: Service = request.app.state.service
    await service.access.admit(request, route=("GET", "/metrics"))
    backlog = await service.reading(lambda: webhook_backlog(service.store))
    service.webhook_metrics.waits(backlog, now_at=service.clock())
    return Response(service.metrics.text(), media_type=metrics.MEDIA_TYPE)
