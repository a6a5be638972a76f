"""The stages from raw object to endpoint: one factory a stage, shared by all projects."""

STAGES = ("raw", "features", "training_set", "candidates", "evaluation", "champion", "endpoint")
"""The order of the flow, said once. Asset keys are ``<project>/<stage>[/<name>]``."""
