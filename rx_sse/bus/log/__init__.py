"""The storage of a bus: the log's port, its entries, and the log in memory."""
