"""Calibrate models: draw the samples, and read and write the files of calibrations."""
