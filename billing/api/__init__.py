"""The HTTP service: usage events in, usage out. It parses requests and calls operations.

Invariant: any request, however malformed, has an answer that is a document of ours (2xx) or an
RFC 9457 problem (4xx, or 5xx where it is our fault), in bounded time and memory.
"""
