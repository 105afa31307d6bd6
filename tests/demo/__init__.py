"""The demo does what it shows: each part by its routes, and the page in a real browser."""
