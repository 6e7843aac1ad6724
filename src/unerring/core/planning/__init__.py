"""Planning before a run: what a pilot counted, what it says of the voters, and the k that reaches a target.

Read in this order: `calibration` (counts) -> `estimates` (intervals) -> `assumptions` (what a plan relies on) ->
`races` and `weighted_race` (the expected outcome of voting) -> `costs` (tokens, dollars, hours) -> `plan` (the
choice). These use `intervals`, `spread` (how p varies between steps) and `walk` (exact races).
"""
