"""Tests of rx_sse.notebook, recordings, diagrams, and the notebooks themselves."""
