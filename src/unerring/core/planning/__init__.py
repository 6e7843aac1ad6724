"""What is worked out before a run: what a pilot counted, what it says of the voters, and the k that keeps a promise.

Read in this order: `calibration` (counts) -> `estimates` (intervals) -> `assumptions` (what a plan may rely on) ->
`races` and `weighed` (what voting comes to then) -> `costs` (tokens, dollars, hours) -> `plan` (the choice).
Underneath are `intervals`, `spread` (how p varies from step to step) and `walk` (exact races).
"""
