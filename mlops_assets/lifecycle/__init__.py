"""The stages from raw object to endpoint, and back: one factory a stage, shared by all projects."""

STAGES = (
    "raw",
    "features",
    "training_set",
    "candidates",
    "evaluation",
    "champion",
    "reference_profile",
    "endpoint",
    "predictions",
    "outcomes",
    "drift",
    "drift_report",
    "performance",
)
"""The order of the flow, said once. Asset keys are ``<project>/<stage>[/<name>]``."""
