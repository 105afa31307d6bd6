"""The terminal room: `tail` and `publish` as they are run, and the text they print."""
