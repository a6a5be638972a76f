"""How large a request may be."""

from __future__ import annotations

MAX_ROWS = 1000
"""Rows in one request."""

MAX_BODY = 4 * 1024 * 1024
"""Bytes of one request's body."""
