"""The certificate of a run: what its votes say about wrong steps, during the run and after it, without a right answer.

`vote_patterns` counts how votes fell. `error_model` is a model of how voters err, `fit` fits it to the patterns, and
`certificate` reports what follows; `weighted_margins` replaces these where votes have weights. `dissent_alarm`
compares a run with its plan, which `expectations` reads.
"""
