"""What users write: import their modules, make objects of their classes, and find the lines of their errors."""
