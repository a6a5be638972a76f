-- Run once, in an empty database server; it has made `dagster` itself.
CREATE DATABASE mlflow;
