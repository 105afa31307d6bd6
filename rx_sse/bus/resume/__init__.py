"""Resume: the connection's cursor, and the way from a cursor to live delivery."""
