"""What the votes of a run say of its steps, while it goes on and after it, without a single right answer.

`patterns` counts how votes fell, `fitting` fits the model of `erring` to that, and `certificate` tells what it comes
to; `weighed` does so where votes were weighed. `watch` holds a run against the plan that `expectations` read back.
"""
