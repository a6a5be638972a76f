"""Who hears of what. This is the file to edit; ``docs/alerts.md`` says how."""

from __future__ import annotations

from mlops_assets.alerts.routing import Route, Routing

ROUTING = Routing(
    routes=(
        # Everything goes to the first of these that has an address in the settings and answers.
        Route(name="everything", channels=("alertmanager", "slack", "webhook", "email", "log")),
    )
)
