"""A project's history played again under a retraining policy, in simulated time. See ``docs/replay.md``.

Everything that decides is the code that automation runs: ``retraining.policy``, ``monitoring``, ``families``,
``judging`` and the endpoint's ``Predictor``. What is replaced are Dagster, S3 and the clock.
"""
