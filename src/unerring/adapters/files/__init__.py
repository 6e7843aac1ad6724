"""Files of users: read JSON and JSON Lines, and write outputs whole or not at all."""
