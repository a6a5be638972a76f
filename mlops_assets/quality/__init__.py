"""Whether rows are fit to train on, beyond their contract. Pure: frames and numbers in, verdicts out.

``raw`` judges what came from a source (volume, duplicates, nulls, ranges), against what the project
declares and against summaries of other partitions; ``examples`` judges features and training sets
(leakage, train/serve skew, nulls). ``docs/checks.md`` says what each sees and allows.
"""
