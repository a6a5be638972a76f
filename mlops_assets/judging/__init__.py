"""How models are judged: scores, intervals, the gate and the report. Pure: no Dagster, no MLflow."""
