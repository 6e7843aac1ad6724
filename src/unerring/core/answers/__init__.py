"""Forms of answers: from what a person writes, such as `int` or a dataclass, to how answers are asked for and read."""
