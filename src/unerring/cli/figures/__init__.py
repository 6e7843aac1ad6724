"""Reports as pages and pictures; matplotlib, an extra, is imported when one is drawn."""
