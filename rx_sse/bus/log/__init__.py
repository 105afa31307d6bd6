"""What a bus keeps: the log's port, its entries, and the log in memory."""
