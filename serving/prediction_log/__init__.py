"""The prediction log: what the endpoint answered, with what it was asked (see ``docs/prediction-log.md``).

Nothing here needs Dagster, and nothing heavy is imported before it is used.
"""
