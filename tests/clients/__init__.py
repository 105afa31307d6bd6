"""Other people's clients, as their registries have them, against streams of ours. All slow."""
